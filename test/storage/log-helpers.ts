import type { DiskWrite, Entry, EntryType, HardState } from '../../src/raft/types.js';
import type { LogStore } from '../../src/storage/log-store.js';

export function entry(index: number, term: number, text = '', type: EntryType = 'command'): Entry {
  return { index, term, type, payload: Buffer.from(text || `entry ${index} of term ${term}`) };
}

export function entries(fromIndex: number, count: number, term: number, text = ''): Entry[] {
  return Array.from({ length: count }, (_, position) => entry(fromIndex + position, term, text));
}

let sequence = 0;
export function write(list: readonly Entry[], hardState: HardState | null = null): DiskWrite {
  sequence += 1;
  return { sequence, hardState, entries: list };
}

export function append(store: LogStore, what: DiskWrite): Promise<void> {
  return new Promise((resolve, reject) => {
    store.append(what, (error) => (error === null ? resolve() : reject(error)));
  });
}

export function read(
  store: LogStore,
  fromIndex: number,
  toIndex: number,
  bytesMax = Number.POSITIVE_INFINITY,
): Promise<readonly Entry[]> {
  return new Promise((resolve, reject) => {
    store.read({ fromIndex, toIndex, bytesMax }, (error, list) =>
      error === null ? resolve(list) : reject(error),
    );
  });
}

/** Comparable, whatever holds the payload's bytes. */
export function plain(list: readonly Entry[]): string[] {
  return list.map(
    (e) => `${e.index}:${e.term}:${e.type}:${Buffer.from(e.payload).toString('latin1')}`,
  );
}

/** What a log is after some writes: the simplest implementation there is. */
export class ModelLog {
  hardState: HardState = { currentTerm: 0, votedFor: null, commitIndex: 0 };
  log: Entry[] = [];

  apply(what: DiskWrite): void {
    this.hardState = what.hardState ?? this.hardState;
    const [first] = what.entries;
    if (first !== undefined) this.log = [...this.log.slice(0, first.index - 1), ...what.entries];
  }

  static after(writes: readonly DiskWrite[]): ModelLog {
    const model = new ModelLog();
    for (const what of writes) model.apply(what);
    return model;
  }

  terms(): { index: number; term: number }[] {
    return this.log
      .filter((e, position) => this.log[position - 1]?.term !== e.term)
      .map(({ index, term }) => ({ index, term }));
  }

  /** As {@link restoredFacts}. */
  facts(): unknown {
    return {
      hardState: this.hardState,
      terms: this.terms(),
      lastIndex: this.log.length,
      entries: plain(this.log),
      configurations: plain(this.log.filter((e) => e.type === 'configuration')),
    };
  }
}

/** What a store that was opened with room for the whole tail says that it found. */
export function restoredFacts(store: LogStore): unknown {
  const { hardState, terms, lastIndex, tail, configurationEntries } = store.restored;
  return {
    hardState,
    terms,
    lastIndex,
    entries: plain(tail),
    configurations: plain(configurationEntries),
  };
}
