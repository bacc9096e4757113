import { AsyncLocalStorage } from 'node:async_hooks';
import { BalsaError } from '../base/errors.js';

/** What is fixed for a call that runs in this process. */
export interface CallWorld {
  readonly nowMs: number;
  readonly random: () => number;
}

const current = new AsyncLocalStorage<CallWorld>();
// A test may put others in their places.
const { setImmediate: later, clearImmediate: notLater } = globalThis;
let running = 0;
let restore = (): void => undefined;

/** `Date` and `Math.random` say to code that is run by `run`, and to no other, what they say to a call. */
export async function inWorldOf<T>(world: CallWorld, run: () => Promise<T>): Promise<T> {
  if (running === 0) restore = replaceGlobals();
  running += 1;
  try {
    return await current.run(world, run);
  } finally {
    running -= 1;
    if (running === 0) restore();
  }
}

/** @returns puts back what was there */
function replaceGlobals(): () => void {
  const { Date: RealDate, Math: math } = globalThis;
  const realRandom = math.random;
  const now = (): number => current.getStore()?.nowMs ?? RealDate.now();
  const CallDate = new Proxy(RealDate, {
    apply: () => new RealDate(now()).toString(),
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as object,
    get: (target, key) => (key === 'now' ? now : (Reflect.get(target, key) as unknown)),
  });
  const random = (): number => current.getStore()?.random() ?? realRandom();
  globalThis.Date = CallDate;
  math.random = random;
  return () => {
    if (globalThis.Date === CallDate) globalThis.Date = RealDate;
    if (math.random === random) math.random = realRandom;
  };
}

/**
 * What comes of a handler. It has nothing that it could wait for but its own promises: when none of them goes on, none ever will.
 * @throws BalsaError `PROCEDURE_FAILED`
 */
export function settled<T>(outcome: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const given = later(() => {
      const message = 'the procedure waits for something that never comes';
      reject(new BalsaError('PROCEDURE_FAILED', message, { outcome: 'not-applied' }));
    });
    outcome.then(resolve, reject).finally(() => notLater(given));
  });
}
