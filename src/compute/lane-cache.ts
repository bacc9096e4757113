import { toMapKey } from '../base/bytes.js';
import { type CallRecord, eventWrites } from '../base/call.js';
import type { GroupNews, Source, StoredKey } from './execution.js';

/** What is kept, in bytes, roughly. */
const BYTES_MAX = 16 * 1024 * 1024;
/** Of an entry beside its key and its value. */
const ENTRY_BYTES = 100;

/**
 * Keys that the calls of groups have read and written, kept by the thread that runs them, so that it need not ask for what
 * it has just seen. It may be behind the store. That does no harm: what a call has read is looked at when the call is applied,
 * and what was not so is dropped here ({@link GroupNews}) before the call is run again.
 */
export class LaneCache {
  /** By key; `null`: there is nothing. */
  readonly #entries = new Map<string, StoredKey | null>();
  #bytes = 0;
  /** Of the last group. */
  #records: readonly CallRecord[] = [];

  /** The store, with what is kept before it. */
  over(source: Source): Source {
    return {
      get: (key) => {
        const mapKey = toMapKey(key);
        const known = this.#entries.get(mapKey);
        if (known !== undefined) return known;
        const found = source.get(key);
        this.#keep(mapKey, found);
        return found;
      },
      peek: (key) => this.#entries.get(toMapKey(key)),
      scan: (query) => source.scan(query),
      cell: (key) => source.cell(key),
      checkpoint: (json) => source.checkpoint?.(json),
    };
  }

  /** It need not be asked for. */
  has(key: Uint8Array): boolean {
    return this.#entries.has(toMapKey(key));
  }

  /** What the store was asked for ahead. */
  take(key: Uint8Array, found: StoredKey | null): void {
    this.#keep(toMapKey(key), found);
  }

  /** What the calls of a group have read and would write, those that go into the log. */
  ran(records: readonly CallRecord[]): void {
    this.#records = records;
  }

  /** What became of that group, and what else has happened since. */
  heed({ revisions, changed }: GroupNews): void {
    const records = this.#records;
    this.#records = [];
    if (revisions === null || changed === null || revisions.length !== records.length) {
      this.#clear();
      return;
    }
    records.forEach((record, place) => {
      const revision = revisions[place] ?? null;
      if (revision === null) this.#dropAll(record);
      else this.#applied(record, revision);
    });
    for (const key of changed) this.#drop(toMapKey(key));
  }

  #applied({ writes, updates, events }: CallRecord, revision: number): void {
    for (const { key, value } of writes) this.#wrote(key, value, revision);
    for (const { key, value } of eventWrites(events)) this.#wrote(key, value, revision);
    for (const { key } of updates) this.#drop(toMapKey(key));
  }

  #wrote(key: Uint8Array, value: Uint8Array | null, modRevision: number): void {
    this.#keep(toMapKey(key), value === null ? null : { key, value, modRevision });
  }

  /** Something that it has read was not so any more; which is not known. */
  #dropAll({ reads, writes, updates, events }: CallRecord): void {
    const changed = [...writes, ...updates, ...eventWrites(events)];
    for (const { key } of [...reads, ...changed]) this.#drop(toMapKey(key));
  }

  #keep(mapKey: string, found: StoredKey | null): void {
    this.#drop(mapKey);
    this.#bytes += sizeOf(mapKey, found);
    this.#entries.set(mapKey, found);
    // To begin to walk takes as long as there are entries that were dropped before the first one.
    if (this.#bytes <= BYTES_MAX) return;
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= BYTES_MAX) return;
      this.#entries.delete(oldest);
      this.#bytes -= sizeOf(oldest, entry);
    }
  }

  #drop(mapKey: string): void {
    const entry = this.#entries.get(mapKey);
    if (entry === undefined) return;
    this.#entries.delete(mapKey);
    this.#bytes -= sizeOf(mapKey, entry);
  }

  #clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }
}

function sizeOf(mapKey: string, found: StoredKey | null): number {
  return ENTRY_BYTES + 2 * mapKey.length + (found?.value.byteLength ?? 0);
}
