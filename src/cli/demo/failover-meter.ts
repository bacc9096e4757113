/**
 * How long writes stood still when the leader was killed. Times in milliseconds of any clock that
 * only grows.
 */
export class FailoverMeter {
  #lastMs: number | null = null;
  #killed: { readonly atMs: number; readonly term: number } | null = null;
  #failoverMs: number | null = null;
  #standstillMs = 0;
  #acknowledgedAfter = 0;

  /** The leader of `term` was killed. */
  killed(nowMs: number, term: number): void {
    this.#killed = { atMs: nowMs, term };
  }

  /** A write of a leader of `term` was acknowledged. */
  acknowledged(nowMs: number, term: number): void {
    const gapMs = nowMs - (this.#lastMs ?? nowMs);
    this.#lastMs = nowMs;
    if (this.#killed === null) return;
    if (this.#failoverMs === null) this.#standstillMs = Math.max(this.#standstillMs, gapMs);
    // Answers that the killed leader had sent may still come in; only a later term is a new leader.
    if (term <= this.#killed.term) return;
    this.#failoverMs ??= nowMs - this.#killed.atMs;
    this.#acknowledgedAfter += 1;
  }

  /** From the kill to the first write that a new leader acknowledged; `null` before. */
  get failoverMs(): number | null {
    return this.#failoverMs;
  }

  /** Longest time between two successive acknowledgements from the kill to the new leader's first. */
  get standstillMs(): number {
    return this.#standstillMs;
  }

  /** Writes that a new leader acknowledged. */
  get acknowledgedAfter(): number {
    return this.#acknowledgedAfter;
  }

  /** Time since the last acknowledgement; 0 before the first. */
  idleMs(nowMs: number): number {
    return nowMs - (this.#lastMs ?? nowMs);
  }
}
