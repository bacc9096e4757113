import type { Entry, LogIndex } from '../../raft/types.js';

/** Entries that were appended and are not yet written: a contiguous end of the log. */
export class RecentEntries {
  #entries: { readonly entry: Entry; readonly job: number }[] = [];
  #jobsAdded = 0;
  #jobsForgotten = 0;

  /** `null` when there are none. */
  get first(): LogIndex | null {
    return this.#entries[0]?.entry.index ?? null;
  }

  get last(): LogIndex | null {
    return this.#entries.at(-1)?.entry.index ?? null;
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

  /** The next `count` jobs are on disk. */
  forgetJobs(count: number): void {
    this.#jobsForgotten += count;
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
