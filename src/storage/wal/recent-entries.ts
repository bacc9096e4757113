import type { Entry, LogIndex, LogPosition, Term } from '../../raft/types.js';

interface PlannedStart {
  readonly position: LogPosition;
  readonly job: number;
}

/** Entries that were appended and are not yet written: a contiguous end of the log. */
export class RecentEntries {
  /** Where the log is to begin, if that is not yet written. */
  #start: PlannedStart | null = null;
  /** The same, when all entries before it are to go. */
  #reset: PlannedStart | null = null;
  #entries: { readonly entry: Entry; readonly job: number }[] = [];
  #jobsAdded = 0;
  #jobsForgotten = 0;

  /** `null` when there are none. */
  get first(): LogIndex | null {
    return this.#entries[0]?.entry.index ?? null;
  }

  /** The end of the log; `null` when the log on disk has the same. */
  get last(): LogIndex | null {
    return this.#entries.at(-1)?.entry.index ?? this.#reset?.position.index ?? null;
  }

  /** The start of the log; `null` when the log on disk has the same. */
  get start(): LogPosition | null {
    return this.#start?.position ?? null;
  }

  /** The entries on disk are to go. */
  get isReset(): boolean {
    return this.#reset !== null;
  }

  termAt(index: LogIndex): Term | null {
    const { first } = this;
    return first === null ? null : (this.#entries[index - first]?.entry.term ?? null);
  }

  /** Jobs are numbered in order; their entries replace all from the index of the first one on. */
  addJob(entries: readonly Entry[]): void {
    this.#jobsAdded += 1;
    const [first] = entries;
    if (first === undefined) return;
    const kept = first.index - (this.first ?? first.index);
    if (kept < this.#entries.length) this.#entries.length = Math.max(kept, 0);
    for (const entry of entries) this.#entries.push({ entry, job: this.#jobsAdded });
  }

  /** A job that lets the log begin behind `position`. */
  addStart(position: LogPosition): void {
    this.#jobsAdded += 1;
    this.#start = { position, job: this.#jobsAdded };
  }

  /** A job that empties the log, which goes on behind `position`. */
  addReset(position: LogPosition): void {
    this.#jobsAdded += 1;
    this.#entries = [];
    this.#reset = { position, job: this.#jobsAdded };
    this.#start = this.#reset;
  }

  /** The next `count` jobs are on disk. */
  forgetJobs(count: number): void {
    this.#jobsForgotten += count;
    if (this.#start !== null && this.#start.job <= this.#jobsForgotten) this.#start = null;
    if (this.#reset !== null && this.#reset.job <= this.#jobsForgotten) this.#reset = null;
    const kept = this.#entries.findIndex(({ job }) => job > this.#jobsForgotten);
    this.#entries.splice(0, kept < 0 ? this.#entries.length : kept);
  }

  /** Those of the range that are here. */
  slice(fromIndex: LogIndex, toIndex: LogIndex): Entry[] {
    const { first } = this;
    if (first === null) return [];
    const from = Math.max(fromIndex - first, 0);
    return this.#entries.slice(from, Math.max(toIndex - first + 1, 0)).map(({ entry }) => entry);
  }
}
