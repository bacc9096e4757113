import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';

/** Calls begun before the event loop has its turn. */
const BURST_MAX = 512;

/** Until it is looked again, when all that is due has begun: to look all the time would take a processor from those that are measured. */
const PAUSE_MS = 1;

/** Of a process, or one that a test moves. */
export interface LoopClock {
  nowMs(): number;
  /** Lets others have the event loop, and comes back at once. */
  turn(): Promise<unknown>;
  pause(ms: number): Promise<unknown>;
}

const OWN_CLOCK: LoopClock = {
  nowMs: () => performance.now(),
  turn: () => turn(),
  pause: (ms) => sleep(ms),
};

export interface OpenLoop {
  readonly seconds: number;
  readonly perSecond: number;
  readonly call: () => Promise<unknown>;
  /** So many at most are on their way; default: no bound. What is due when they are is never begun. */
  readonly outstandingMax?: number;
  /** Begins no more of them. */
  readonly signal?: AbortSignal | undefined;
  /** Before each call. */
  readonly onBegin?: (call: BegunCall) => void;
  readonly onEnd: (call: EndedCall) => void;
  /** In place of the call, where there are too many. */
  readonly onLeftOut?: (call: BegunCall) => void;
}

/** Times are those of the clock; a call's own time runs from `dueMs`. */
export interface BegunCall {
  /** From 0 on, in the order in which they are due. */
  readonly number: number;
  readonly dueMs: number;
  /** Later than it was due when the client had no time for it. */
  readonly begunMs: number;
}

export interface EndedCall extends BegunCall {
  readonly endedMs: number;
  /** What it failed with. */
  readonly failure: { readonly cause: unknown } | null;
}

/**
 * Begins so many calls per second for some time, each when it is due: nobody waits for those before. All that are due within that
 * time are begun and told of, also those that come late because the client or the server stood still: to leave them out would leave
 * out the slowest ("coordinated omission", Gil Tene).
 * @returns when all have ended: how many were due, and when they began to be
 */
export async function openLoop(
  loop: OpenLoop,
  clock: LoopClock = OWN_CLOCK,
): Promise<{ readonly calls: number; readonly startedMs: number }> {
  const { perSecond, outstandingMax = Number.POSITIVE_INFINITY, signal } = loop;
  const { onBegin = () => {}, onLeftOut = () => {} } = loop;
  const calls = callsWithin(loop);
  const startedMs = clock.nowMs();
  let begun = 0;
  let underWay = 0;
  let allEnded = (): void => {};

  const once = async (begin: BegunCall): Promise<void> => {
    const failure = await failureOf(loop.call);
    loop.onEnd({ ...begin, endedMs: clock.nowMs(), failure });
    underWay -= 1;
    if (underWay === 0) allEnded();
  };

  while (begun < calls && signal?.aborted !== true) {
    const nowMs = clock.nowMs();
    const due = Math.min(calls, Math.floor(((nowMs - startedMs) * perSecond) / 1000) + 1);
    const end = Math.min(due, begun + BURST_MAX);
    for (; begun < end; begun += 1) {
      const dueMs = startedMs + (begun * 1000) / perSecond;
      const begin = { number: begun, dueMs, begunMs: clock.nowMs() };
      if (underWay >= outstandingMax) {
        onLeftOut(begin);
        continue;
      }
      onBegin(begin);
      underWay += 1;
      void once(begin);
    }
    if (begun < calls) await (begun < due ? clock.turn() : clock.pause(PAUSE_MS));
  }
  if (underWay > 0) await new Promise<void>((resolve) => (allEnded = resolve));
  return { calls, startedMs };
}

/** How many are due within the time, the first of them at its begin. */
function callsWithin({ seconds, perSecond }: OpenLoop): number {
  return Math.max(1, Math.ceil(seconds * perSecond));
}

async function failureOf(call: () => Promise<unknown>): Promise<EndedCall['failure']> {
  try {
    await call();
    return null;
  } catch (cause) {
    return { cause };
  }
}
