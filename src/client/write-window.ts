/** Operations under way, at first and at most: whatever a round trip takes, more would only wait at the leader. */
const OPERATIONS_MAX = 8192;
const OPERATIONS_MIN = 1024;
/** A batch that takes longer has waited at the leader; far away, longer than so many times the shortest. */
const LATE_MS = 400;
const LATE_FACTOR = 3;
const LATE_MS_MAX = 1500;
const SHRINKS_TO = 0.7;

/** With fewer writes of its own a client is not the one that there are too many of. */
const HOPELESS_MIN = 4096;
/** Of the time that a write has: the pace is a guess. */
const HOPELESS_SHARE = 0.6;

/** What goes through is measured over so long, while there is always more to send. */
const SAMPLE_MS = 250;
const SAMPLE_WEIGHT = 0.5;
/** Without an answer for so long nothing flows, and what flowed before says little. */
const FLOWS_MS = 500;

/** So many writes, and their bytes as they travel. */
export interface Load {
  readonly operations: number;
  readonly bytes: number;
}

/**
 * How many writes one client has under way: as few as keep the leader busy, so that what waits waits here, where it is surely not applied when
 * its time runs out. Additive increase, multiplicative decrease by delay, as TCP Vegas does it (Brakmo and Peterson 1995). And how
 * long what waits here will wait, from what went through lately.
 */
export class WriteWindow {
  #operations = OPERATIONS_MAX;
  /** The shortest that a batch took over this link. */
  #baseMs = Number.POSITIVE_INFINITY;
  #shrunkMs = Number.NEGATIVE_INFINITY;
  #answeredMs = Number.NEGATIVE_INFINITY;
  /** In a millisecond; `null`: not known yet. */
  #pace: Load | null = null;
  /** Since when there is more to send than may be sent, and what was answered since; `null`: there is not. */
  #sample: { readonly startedMs: number; operations: number; bytes: number } | null = null;

  /** @param underWay operations without an answer */
  hasRoom(underWay: number, more: number): boolean {
    return underWay === 0 || underWay + more <= this.#operations;
  }

  /** The way is another one from now on. */
  linkLost(): void {
    this.#baseMs = Number.POSITIVE_INFINITY;
  }

  /**
   * A batch was answered.
   * @param sentMs when it was first sent
   * @param waiting writes that wait to be sent
   */
  answered(load: Load, sentMs: number, nowMs: number, waiting: number): void {
    this.#answeredMs = nowMs;
    this.#adapt(load.operations, sentMs, nowMs, waiting);
    this.#measure(load, nowMs, waiting);
  }

  /**
   * Whether a write that comes now cannot be answered in its time, so that it would only keep others from theirs. What went through
   * may have been larger, or smaller, than what is ahead: the pace counts by which that takes less.
   * @param ahead writes that wait, or are under way
   * @param leftMs what it has
   * @returns how long it would take, in milliseconds; `null`: nothing is known that speaks against it
   */
  hopeless(ahead: Load, leftMs: number, nowMs: number): number | null {
    const flows = nowMs - this.#answeredMs < FLOWS_MS;
    if (ahead.operations < HOPELESS_MIN || !flows || this.#pace === null) return null;
    const { operations, bytes } = this.#pace;
    const waitMs = Math.round(Math.min(ahead.operations / operations, ahead.bytes / bytes));
    return waitMs > leftMs * HOPELESS_SHARE ? waitMs : null;
  }

  #adapt(operations: number, sentMs: number, nowMs: number, waiting: number): void {
    const tookMs = nowMs - sentMs;
    this.#baseMs = Math.min(this.#baseMs, tookMs);
    const lateMs = Math.min(LATE_MS_MAX, Math.max(LATE_MS, LATE_FACTOR * this.#baseMs));
    if (tookMs > lateMs) {
      // What was sent before the last step tells nothing of what that has brought.
      if (sentMs < this.#shrunkMs) return;
      this.#shrunkMs = nowMs;
      this.#operations = Math.max(OPERATIONS_MIN, Math.floor(this.#operations * SHRINKS_TO));
    } else if (waiting > 0 && tookMs < lateMs / 2) {
      this.#operations = Math.min(OPERATIONS_MAX, this.#operations + Math.ceil(operations / 8));
    }
  }

  #measure({ operations, bytes }: Load, nowMs: number, waiting: number): void {
    if (waiting === 0) {
      this.#sample = null;
      return;
    }
    if (this.#sample === null) {
      this.#sample = { startedMs: nowMs, operations: 0, bytes: 0 };
      return;
    }
    this.#sample.operations += operations;
    this.#sample.bytes += bytes;
    const tookMs = nowMs - this.#sample.startedMs;
    if (tookMs < SAMPLE_MS) return;
    const before = this.#pace;
    const mean = (field: keyof Load, count: number): number => {
      const pace = count / tookMs;
      return before === null ? pace : before[field] + (pace - before[field]) * SAMPLE_WEIGHT;
    };
    this.#pace = {
      operations: mean('operations', this.#sample.operations),
      bytes: mean('bytes', this.#sample.bytes),
    };
    this.#sample = { startedMs: nowMs, operations: 0, bytes: 0 };
  }
}
