import type { Clock } from '../../base/clock.js';
import { BalsaError } from '../../base/errors.js';
import type { ProcedureCall } from '../execution.js';

/** What has broken a thread is not run again for so long, in milliseconds: it would hold up others as long each time. */
const BARRED_MS = 5000;
/** As `BARRED_MS`, of code that broke it while it was loaded, which takes longer. */
const BARRED_UNLOADED_MS = 10_000;

type Code = Pick<ProcedureCall, 'bundle' | 'name'>;

/** Procedures that could only be ended with the thread that they ran in, and bundles that could not be loaded otherwise. */
export class BarredCode {
  readonly #clock: Clock;
  readonly #untilMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param isLoading it is the bundle, and not the procedure */
  bar(code: Code, isLoading: boolean): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [name, untilMs] of this.#untilMs) {
      if (untilMs <= nowMs) this.#untilMs.delete(name);
    }
    const barredMs = isLoading ? BARRED_UNLOADED_MS : BARRED_MS;
    this.#untilMs.set(isLoading ? code.bundle.hash : nameOf(code), nowMs + barredMs);
  }

  /** Why it is not run now; `null`: it may be. */
  refusalOf(code: Code): BalsaError | null {
    if (this.#untilMs.size === 0) return null;
    const { hash } = code.bundle;
    const untilMs = Math.max(...[hash, nameOf(code)].map((name) => this.#untilMs.get(name) ?? 0));
    const retryAfterMs = Math.ceil(untilMs - this.#clock.monotonicMs());
    if (retryAfterMs <= 0) return null;
    const message = `${code.name} had to be ended with its thread, and is not run for ${retryAfterMs} ms`;
    return new BalsaError('OVERLOADED', message, {
      outcome: 'not-applied',
      details: { procedure: code.name, hash, retryAfterMs },
    });
  }
}

function nameOf({ bundle, name }: Code): string {
  return `${bundle.hash} ${name}`;
}
