import { assert } from '../base/assert.js';
import { BalsaError } from '../base/errors.js';
import {
  type DiskWrite,
  type Entry,
  type HardState,
  LOG_START,
  type LogIndex,
  type LogPosition,
} from '../raft/types.js';
import type { LogStore, LogStoreStats, RestoredLog } from './log-store.js';
import type { Schedule } from './memory-files.js';

export interface MemoryLogStoreOptions {
  /** When a group of writes is durable, and when reads answer; the simulator's choice. */
  readonly schedule: Schedule;
}

interface Waiting {
  readonly change: (contents: LogContents) => void;
  readonly done: (error: Error | null) => void;
}

/** {@link LogStore} in memory; {@link restart} says what the next process finds. */
export class MemoryLogStore implements LogStore {
  readonly restored: RestoredLog;
  readonly #schedule: Schedule;
  /** With all that was asked for. */
  readonly #contents: LogContents;
  readonly #durable: LogContents;
  #waiting: Waiting[] = [];
  #group: Waiting[] = [];
  #failure: Error | null = null;
  #isStopped = false;
  #syncs = 0;
  #whenIdle: (() => void)[] = [];

  constructor(options: MemoryLogStoreOptions, contents: LogContents = new LogContents()) {
    this.#schedule = options.schedule;
    this.#contents = contents.copy();
    this.#durable = contents.copy();
    this.restored = contents.restored();
  }

  append(write: DiskWrite, done: (error: Error | null) => void): void {
    this.#submit((contents) => contents.append(write), done);
  }

  compactTo(position: LogPosition, done: (error: Error | null) => void): void {
    assert(position.index >= this.#contents.start.index, 'the start of the log only grows');
    assert(position.index <= this.#durable.lastIndex, 'the log is cut behind what is durable');
    this.#submit((contents) => contents.compactTo(position), done);
  }

  resetTo(position: LogPosition, done: (error: Error | null) => void): void {
    this.#submit((contents) => contents.resetTo(position), done);
  }

  read(
    range: { readonly fromIndex: LogIndex; readonly toIndex: LogIndex; readonly bytesMax: number },
    done: (error: Error | null, entries: readonly Entry[]) => void,
  ): void {
    assert(range.fromIndex <= range.toIndex, 'at least one entry is asked for');
    const entries: Entry[] = [];
    let bytes = 0;
    for (const entry of this.#contents.slice(range.fromIndex, range.toIndex)) {
      bytes += entry.payload.byteLength;
      if (bytes > range.bytesMax && entries.length > 0) break;
      entries.push(entry);
    }
    this.#schedule(() => done(null, entries));
  }

  stats(): LogStoreStats {
    return {
      lastIndex: this.#contents.lastIndex,
      durableIndex: this.#durable.lastIndex,
      bytes: this.#contents.entries.reduce((sum, entry) => sum + entry.payload.byteLength, 0),
      segments: 1,
      syncs: this.#syncs,
      lastSyncMs: 0,
      maxSyncMs: 0,
    };
  }

  async close(): Promise<void> {
    this.#isStopped = true;
    if (this.#group.length === 0) return;
    await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  /** The disk fails now: all that waits fails, and nothing more is taken. */
  fail(error: Error): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    const jobs = [...this.#group, ...this.#waiting];
    this.#group = [];
    this.#waiting = [];
    for (const { done } of jobs) done(error);
    this.#idle();
  }

  /**
   * Stops this store, whose callbacks never come again, and answers with what the next process finds.
   * @param unsynced `lost` as by a power failure, `kept` as by a kill
   */
  restart(
    unsynced: 'lost' | 'kept',
    options: MemoryLogStoreOptions = { schedule: this.#schedule },
  ): MemoryLogStore {
    this.#isStopped = true;
    this.#group = [];
    this.#waiting = [];
    return new MemoryLogStore(options, unsynced === 'kept' ? this.#contents : this.#durable);
  }

  #submit(change: Waiting['change'], done: Waiting['done']): void {
    const refusal = this.#failure ?? (this.#isStopped ? closedError() : null);
    if (refusal !== null) {
      this.#schedule(() => done(refusal));
      return;
    }
    change(this.#contents);
    this.#waiting.push({ change, done });
    this.#sync();
  }

  #sync(): void {
    if (this.#group.length > 0 || this.#waiting.length === 0) return;
    this.#group = this.#waiting;
    this.#waiting = [];
    this.#schedule(() => {
      const group = this.#group;
      this.#group = [];
      if (group.length === 0) return;
      for (const { change } of group) change(this.#durable);
      this.#syncs += 1;
      this.#sync();
      for (const { done } of group) done(null);
      if (this.#group.length === 0) this.#idle();
    });
  }

  #idle(): void {
    const callbacks = this.#whenIdle;
    this.#whenIdle = [];
    for (const callback of callbacks) callback();
  }
}

/** What a log is. */
class LogContents {
  hardState: HardState = { currentTerm: 0, votedFor: null, commitIndex: 0 };
  start: LogPosition = LOG_START;
  /** Those behind `start`. */
  entries: Entry[] = [];

  get lastIndex(): LogIndex {
    return this.start.index + this.entries.length;
  }

  copy(): LogContents {
    const copy = new LogContents();
    copy.hardState = this.hardState;
    copy.start = this.start;
    copy.entries = [...this.entries];
    return copy;
  }

  append({ hardState, entries }: DiskWrite): void {
    this.hardState = hardState ?? this.hardState;
    const [first] = entries;
    if (first === undefined) return;
    assert(first.index > this.start.index, 'entries are appended behind the start of the log');
    assert(first.index <= this.lastIndex + 1, 'entries are appended without gaps');
    this.entries.length = first.index - this.start.index - 1;
    for (const entry of entries) {
      assert(entry.index === this.lastIndex + 1, 'entries are appended without gaps');
      this.entries.push(entry);
    }
  }

  compactTo(position: LogPosition): void {
    if (position.index <= this.start.index) return;
    const term = this.#termAt(position.index);
    assert(term === position.term, 'the log is started at a place that it holds');
    this.entries = this.slice(position.index + 1, this.lastIndex);
    this.start = position;
  }

  resetTo(position: LogPosition): void {
    if (position.index <= this.start.index) return;
    if (this.#termAt(position.index) === position.term) {
      this.compactTo(position);
    } else {
      this.entries = [];
      this.start = position;
    }
  }

  /** Those of the range; none when it begins before the log. */
  slice(fromIndex: LogIndex, toIndex: LogIndex): Entry[] {
    const from = fromIndex - this.start.index - 1;
    return from < 0 ? [] : this.entries.slice(from, Math.max(toIndex - this.start.index, 0));
  }

  restored(): RestoredLog {
    const terms: LogPosition[] = [];
    for (const { index, term } of this.entries) {
      if (terms.at(-1)?.term !== term) terms.push({ index, term });
    }
    return {
      hardState: this.hardState,
      logStart: this.start,
      terms,
      lastIndex: this.lastIndex,
      tail: [...this.entries],
      configurationEntries: this.entries.filter((entry) => entry.type === 'configuration'),
    };
  }

  #termAt(index: LogIndex): number | undefined {
    if (index === this.start.index) return this.start.term;
    return this.entries[index - this.start.index - 1]?.term;
  }
}

function closedError(): BalsaError {
  return new BalsaError('SHUTTING_DOWN', 'the log is closed');
}
