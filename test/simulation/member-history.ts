import type {
  Configuration,
  DiskWrite,
  HardState,
  LogIndex,
  LogPosition,
  MemberId,
  Term,
} from '../../src/raft/types.js';
import type { RestoredLog } from '../../src/storage/log-store.js';

const EMPTY: HardState = { currentTerm: 0, votedFor: null, commitIndex: 0 };

/** What is known of one member from what it asked of its disk and told others. */
export class MemberHistory {
  readonly #committedTerm: (index: LogIndex) => Term;
  /** Entries through here are committed, and may be gone from its log. */
  base: LogIndex = 0;
  /** Terms of the entries behind `base`. */
  #terms: Term[] = [];
  submittedHardState: HardState = EMPTY;
  durableHardState: HardState = EMPTY;
  /** Its log is on disk through here. */
  durableIndex: LogIndex = 0;
  /** The highest place, by term, that was ever on its disk, also in an earlier life. */
  #everDurable = new Map<Term, LogIndex>();

  promisedTerm: Term = 0;
  promisedVote: MemberId | null = null;
  promisedMatch: LogIndex = 0;

  /** Of this life. */
  leadingTerm: Term | null = null;
  /** The last that it led. */
  ledTerm: Term = 0;
  commitIndex: LogIndex = 0;
  appliedIndex: LogIndex = 0;
  term: Term = 0;
  configuration: Configuration | null = null;

  /** @param committedTerm of the entry that is committed there; 0 when none is */
  constructor(committedTerm: (index: LogIndex) => Term) {
    this.#committedTerm = committedTerm;
  }

  get lastIndex(): LogIndex {
    return this.base + this.#terms.length;
  }

  /** 0 where it has no entry. */
  termAt(index: LogIndex): Term {
    if (index <= this.base) return this.#committedTerm(index);
    return this.#terms[index - this.base - 1] ?? 0;
  }

  restart(restored: RestoredLog): void {
    this.base = restored.logStart.index;
    this.#terms = [];
    restored.terms.forEach(({ index, term }, position) => {
      const end = restored.terms[position + 1]?.index ?? restored.lastIndex + 1;
      for (let at = Math.max(index, this.base + 1); at < end; at += 1) this.#terms.push(term);
    });
    this.submittedHardState = restored.hardState;
    this.durableHardState = restored.hardState;
    this.durableIndex = this.lastIndex;
    this.#noteDurable();
    this.leadingTerm = null;
    this.commitIndex = 0;
    this.appliedIndex = 0;
    this.term = restored.hardState.currentTerm;
    this.configuration = null;
  }

  cutFrom(index: LogIndex): void {
    this.#terms.length = index - this.base - 1;
    this.durableIndex = Math.min(this.durableIndex, index - 1);
    this.promisedMatch = Math.min(this.promisedMatch, index - 1);
  }

  append(term: Term): void {
    this.#terms.push(term);
  }

  /** @returns whether entries of it were cut since */
  madeDurable(write: DiskWrite): boolean {
    if (write.hardState !== null) this.durableHardState = write.hardState;
    const last = write.entries.at(-1);
    if (last === undefined) return false;
    let index = last.index;
    const at = (i: LogIndex): Term | undefined =>
      write.entries[i - (write.entries[0]?.index ?? 0)]?.term;
    while (index > this.base && at(index) !== undefined && this.termAt(index) !== at(index))
      index -= 1;
    if (at(index) !== undefined) this.durableIndex = Math.max(this.durableIndex, index);
    this.#noteDurable();
    // On disk all of it is, until the cut gets there.
    for (const entry of write.entries) this.#noteEver(entry.index, entry.term);
    return index !== last.index;
  }

  #noteDurable(): void {
    this.#noteEver(this.durableIndex, this.termAt(this.durableIndex));
  }

  #noteEver(index: LogIndex, term: Term): void {
    this.#everDurable.set(term, Math.max(this.#everDurable.get(term) ?? 0, index));
  }

  /** Has it had an entry of `term` or before there on its disk, since cut off or not? */
  hadDurable(index: LogIndex, term: Term): boolean {
    if (index <= this.durableIndex) return true;
    return [...this.#everDurable].some(([of, last]) => of <= term && last >= index);
  }

  /** It has had this entry on its disk: by Log Matching, when it had one behind it in a log with it. */
  everDurable(index: LogIndex, term: Term): boolean {
    if (index <= this.base) return true;
    if (index <= this.durableIndex && this.termAt(index) === term) return true;
    return (this.#everDurable.get(term) ?? 0) >= index;
  }

  compact(index: LogIndex): void {
    if (index <= this.base) return;
    this.#terms.splice(0, index - this.base);
    this.base = index;
  }

  /** A snapshot through `position` is to take the place of its log. */
  resetTo(position: LogPosition): void {
    const keeps = position.index <= this.lastIndex && this.termAt(position.index) === position.term;
    if (keeps) {
      this.compact(position.index);
      return;
    }
    // What it holds beside the snapshot was never committed, and goes.
    let promised = Math.min(this.promisedMatch, position.index);
    while (this.termAt(promised) !== this.#committedTerm(promised)) promised -= 1;
    this.promisedMatch = promised;
    this.base = position.index;
    this.#terms = [];
  }

  madeReset(position: LogPosition): void {
    this.durableIndex = Math.max(this.durableIndex, position.index);
    this.#noteDurable();
  }

  promiseMatch(index: LogIndex): void {
    this.promisedMatch = Math.max(this.promisedMatch, index);
  }

  promiseVote(term: Term, to: MemberId): void {
    if (term < this.promisedTerm) return;
    this.promisedTerm = term;
    this.promisedVote = to;
  }
}
