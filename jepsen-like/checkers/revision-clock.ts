import type { HistoryOperation } from '../history/operation.js';
import type { Call } from './calls.js';

/** The highest revision that an answer had told before some moment. */
export interface Told {
  readonly revision: number;
  /** Whose answer it was; `null`: nobody's. */
  readonly by: Call | null;
}

const NOTHING_TOLD: Told = { revision: 0, by: null };

/**
 * Knows for each operation under way which revision had been told by an answer before it began. What ends and what begins at the same
 * nanosecond counts as at once.
 */
export class RevisionClock {
  readonly #atBegin = new Map<number, Told>();
  /** Of ends before {@link #time}. */
  #before = NOTHING_TOLD;
  #through = NOTHING_TOLD;
  #time = 0;

  begin({ process, time }: HistoryOperation): void {
    this.#advance(time);
    this.#atBegin.set(process, this.#before);
  }

  /** @returns what had been told when it began */
  beganAfter(call: Call): Told {
    const told = this.#atBegin.get(call.process) ?? NOTHING_TOLD;
    this.#atBegin.delete(call.process);
    return told;
  }

  told(call: Call, revision: number): void {
    this.#advance(call.completion?.time ?? this.#time);
    if (revision > this.#through.revision) this.#through = { revision, by: call };
  }

  #advance(time: number): void {
    if (time <= this.#time) return;
    this.#time = time;
    this.#before = this.#through;
  }
}
