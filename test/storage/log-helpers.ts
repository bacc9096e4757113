import type { DiskWrite, Entry, EntryType, HardState, LogPosition } from '../../src/raft/types.js';
import type { LogStore } from '../../src/storage/log-store.js';

export function entry(index: number, term: number, text = '', type: EntryType = 'command'): Entry {
  return { index, term, type, payload: Buffer.from(text || `entry ${index} of term ${term}`) };
}

export function entries(fromIndex: number, count: number, term: number, text = ''): Entry[] {
  return Array.from({ length: count }, (_, position) => entry(fromIndex + position, term, text));
}

/** All that can be asked of a log. */
export type LogChange =
  | DiskWrite
  | { readonly compactTo: LogPosition }
  | { readonly resetTo: LogPosition };

export function submit(
  store: LogStore,
  change: LogChange,
  done: (error: Error | null) => void,
): void {
  if ('compactTo' in change) store.compactTo(change.compactTo, done);
  else if ('resetTo' in change) store.resetTo(change.resetTo, done);
  else store.append(change, done);
}

export function submitted(store: LogStore, change: LogChange): Promise<void> {
  return new Promise((resolve, reject) => {
    submit(store, change, (error) => (error === null ? resolve() : reject(error)));
  });
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
  start: LogPosition = { index: 0, term: 0 };
  /** The entries behind the start. */
  log: Entry[] = [];

  get lastIndex(): number {
    return this.log.at(-1)?.index ?? this.start.index;
  }

  apply(what: LogChange): void {
    if ('compactTo' in what) {
      this.#startAt(what.compactTo);
    } else if ('resetTo' in what) {
      const { index, term } = what.resetTo;
      if (index <= this.start.index) return;
      const isHeld = this.log.some((e) => e.index === index && e.term === term);
      if (!isHeld) this.log = [];
      this.#startAt(what.resetTo);
    } else {
      this.hardState = what.hardState ?? this.hardState;
      const [first] = what.entries;
      if (first === undefined) return;
      this.log = [...this.log.filter((e) => e.index < first.index), ...what.entries];
    }
  }

  #startAt(position: LogPosition): void {
    this.start = position;
    this.log = this.log.filter((e) => e.index > position.index);
  }

  static after(writes: readonly LogChange[]): ModelLog {
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
      start: this.start,
      terms: this.terms(),
      lastIndex: this.lastIndex,
      entries: plain(this.log),
      configurations: plain(this.log.filter((e) => e.type === 'configuration')),
    };
  }
}

/** What a store that was opened with room for the whole tail says that it found. */
export function restoredFacts(store: LogStore): unknown {
  const { hardState, logStart, terms, lastIndex, tail, configurationEntries } = store.restored;
  return {
    hardState,
    start: logStart,
    terms,
    lastIndex,
    entries: plain(tail),
    configurations: plain(configurationEntries),
  };
}
