/** The one clock of a run: nanoseconds since it began, on the monotonic clock of this process. */
export class RunClock {
  readonly #begin = process.hrtime.bigint();

  now(): number {
    return Number(process.hrtime.bigint() - this.#begin);
  }
}

export const NS_PER_MS = 1e6;
export const NS_PER_S = 1e9;
