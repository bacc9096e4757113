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

interface Contents {
  readonly hardState: HardState;
  /** The entry with index i at i - 1. */
  readonly entries: readonly Entry[];
}

interface Waiting {
  readonly write: DiskWrite;
  readonly done: (error: Error | null) => void;
}

const EMPTY: Contents = {
  hardState: { currentTerm: 0, votedFor: null, commitIndex: 0 },
  entries: [],
};

/** {@link LogStore} in memory; {@link restart} says what the next process finds. */
export class MemoryLogStore implements LogStore {
  readonly restored: RestoredLog;
  readonly #schedule: Schedule;
  /** All that was appended. */
  #hardState: HardState;
  readonly #entries: Entry[];
  #durableHardState: HardState;
  readonly #durableEntries: Entry[];
  #waiting: Waiting[] = [];
  #group: Waiting[] = [];
  #failure: Error | null = null;
  #isStopped = false;
  #syncs = 0;
  #whenIdle: (() => void)[] = [];

  constructor(options: MemoryLogStoreOptions, contents: Contents = EMPTY) {
    this.#schedule = options.schedule;
    this.#hardState = contents.hardState;
    this.#durableHardState = contents.hardState;
    this.#entries = [...contents.entries];
    this.#durableEntries = [...contents.entries];
    this.restored = toRestored(contents);
  }

  append(write: DiskWrite, done: (error: Error | null) => void): void {
    const refusal = this.#failure ?? (this.#isStopped ? closedError() : null);
    if (refusal !== null) {
      this.#schedule(() => done(refusal));
      return;
    }
    this.#hardState = write.hardState ?? this.#hardState;
    appendEntries(this.#entries, write.entries);
    this.#waiting.push({ write, done });
    this.#sync();
  }

  read(
    range: { readonly fromIndex: LogIndex; readonly toIndex: LogIndex; readonly bytesMax: number },
    done: (error: Error | null, entries: readonly Entry[]) => void,
  ): void {
    const toIndex = Math.min(range.toIndex, this.#entries.length);
    assert(range.fromIndex > 0 && range.fromIndex <= toIndex, 'at least one entry is asked for');
    const entries: Entry[] = [];
    let bytes = 0;
    for (const entry of this.#entries.slice(range.fromIndex - 1, toIndex)) {
      bytes += entry.payload.byteLength;
      if (bytes > range.bytesMax && entries.length > 0) break;
      entries.push(entry);
    }
    this.#schedule(() => done(null, entries));
  }

  stats(): LogStoreStats {
    return {
      lastIndex: this.#entries.length,
      durableIndex: this.#durableEntries.length,
      bytes: this.#entries.reduce((sum, entry) => sum + entry.payload.byteLength, 0),
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
    const contents =
      unsynced === 'kept'
        ? { hardState: this.#hardState, entries: this.#entries }
        : { hardState: this.#durableHardState, entries: this.#durableEntries };
    return new MemoryLogStore(options, contents);
  }

  #sync(): void {
    if (this.#group.length > 0 || this.#waiting.length === 0) return;
    this.#group = this.#waiting;
    this.#waiting = [];
    this.#schedule(() => {
      const group = this.#group;
      this.#group = [];
      if (group.length === 0) return;
      for (const { write } of group) {
        this.#durableHardState = write.hardState ?? this.#durableHardState;
        appendEntries(this.#durableEntries, write.entries);
      }
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

function appendEntries(log: Entry[], entries: readonly Entry[]): void {
  const [first] = entries;
  if (first === undefined) return;
  assert(first.index >= 1 && first.index <= log.length + 1, 'entries are appended without gaps');
  log.length = first.index - 1;
  for (const entry of entries) {
    assert(entry.index === log.length + 1, 'entries are appended without gaps');
    log.push(entry);
  }
}

function toRestored({ hardState, entries }: Contents): RestoredLog {
  const terms: LogPosition[] = [];
  for (const { index, term } of entries) {
    if (terms.at(-1)?.term !== term) terms.push({ index, term });
  }
  return {
    hardState,
    logStart: LOG_START,
    terms,
    lastIndex: entries.length,
    tail: [...entries],
    configurationEntries: entries.filter((entry) => entry.type === 'configuration'),
  };
}

function closedError(): BalsaError {
  return new BalsaError('SHUTTING_DOWN', 'the log is closed');
}
