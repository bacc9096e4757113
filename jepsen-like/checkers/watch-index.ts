import { HistoryError } from '../history/history-error.js';
import type { HistoryReader } from '../history/history-reader.js';
import { hashText, valueText } from './values.js';

/** The hash of nothing: no value has it. */
export const ABSENT = -1;

/** Of a value as it is compared; `null`: there is none. */
export function hashValue(value: unknown): number {
  return value === null || value === undefined ? ABSENT : hashText(valueText(value));
}

/**
 * What the whole-store watch has told: what each key held at each revision, by the hash of the value. Takes some 30 bytes an
 * event, and what its keys take.
 */
export class WatchIndex {
  /** By key: where its events are. */
  readonly #keys: ReadonlyMap<string, number>;
  readonly #froms: Int32Array;
  /** All those of a key together, in the order of revisions. */
  readonly #revisions: Float64Array;
  readonly #hashes: Float64Array;
  /** How many operations say that they made this event. */
  readonly #claims: Uint8Array;
  readonly lastRevision: number;
  /** Why this cannot be what a watch tells; `null`: it can. */
  readonly problem: string | null;

  private constructor(read: ReadEvents) {
    const { keys, count } = read;
    this.#keys = keys;
    this.#froms = new Int32Array(keys.size + 1);
    for (let at = 0; at < count; at += 1) (this.#froms[read.keyAt(at) + 1] as number) += 1;
    for (let key = 0; key < keys.size; key += 1) {
      (this.#froms[key + 1] as number) += this.#froms[key] as number;
    }
    const next = this.#froms.slice();
    this.#revisions = new Float64Array(count);
    this.#hashes = new Float64Array(count);
    this.#claims = new Uint8Array(count);
    for (let at = 0; at < count; at += 1) {
      const place = next[read.keyAt(at)] as number;
      next[read.keyAt(at)] = place + 1;
      this.#revisions[place] = read.revisionAt(at);
      this.#hashes[place] = read.hashAt(at);
    }
    this.lastRevision = count === 0 ? 0 : read.revisionAt(count - 1);
    this.problem = read.problem ?? this.#doubled();
  }

  /** @throws HistoryError a line is no event */
  static async load(watch: HistoryReader): Promise<WatchIndex> {
    const read = new ReadEvents();
    let line = 0;
    for await (const { f, key, value, revision } of watch) {
      line += 1;
      if (f !== 'event') continue;
      const where = `${watch.source}, operation ${line}`;
      if (key === undefined || revision === undefined) {
        throw new HistoryError(where, 'an event needs a key and a revision');
      }
      if (read.count > 0 && revision < read.revisionAt(read.count - 1)) {
        read.problem ??= `revision ${revision} of key "${key}" comes behind a later one`;
      }
      read.add(key, revision, hashValue(value));
    }
    return new WatchIndex(read);
  }

  get events(): number {
    return this.#revisions.length;
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  keys(): IterableIterator<string> {
    return this.#keys.keys();
  }

  /** Hash of what the key held at the revision. */
  hashAt(key: string, revision: number): number {
    const place = this.#lastThrough(key, revision);
    return place < 0 ? ABSENT : (this.#hashes[place] as number);
  }

  /** The event of this key at exactly this revision; `null`: there is none. */
  eventAt(key: string, revision: number): { readonly place: number; readonly hash: number } | null {
    const place = this.#lastThrough(key, revision);
    if (place < 0 || this.#revisions[place] !== revision) return null;
    return { place, hash: this.#hashes[place] as number };
  }

  /** @returns how many have claimed it before */
  claim(place: number): number {
    const before = this.#claims[place] as number;
    if (before < 255) this.#claims[place] = before + 1;
    return before;
  }

  /** Events of a key that nobody has claimed, in the order of revisions. */
  *unclaimed(key: string): Generator<{ readonly revision: number; readonly hash: number }> {
    for (const place of this.#placesOf(key)) {
      if (this.#claims[place] !== 0) continue;
      yield { revision: this.#revisions[place] as number, hash: this.#hashes[place] as number };
    }
  }

  /** All events of a key, in the order of revisions. */
  *eventsOf(key: string): Generator<{ readonly revision: number; readonly hash: number }> {
    for (const place of this.#placesOf(key)) {
      yield { revision: this.#revisions[place] as number, hash: this.#hashes[place] as number };
    }
  }

  *#placesOf(key: string): Generator<number> {
    const id = this.#keys.get(key);
    if (id === undefined) return;
    const to = this.#froms[id + 1] as number;
    for (let place = this.#froms[id] as number; place < to; place += 1) yield place;
  }

  /** Place of the last event of the key through the revision; -1: none. */
  #lastThrough(key: string, revision: number): number {
    const id = this.#keys.get(key);
    if (id === undefined) return -1;
    const from = this.#froms[id] as number;
    let low = from;
    let high = this.#froms[id + 1] as number;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#revisions[middle] as number) <= revision) low = middle + 1;
      else high = middle;
    }
    return low === from ? -1 : low - 1;
  }

  #doubled(): string | null {
    for (const [key, id] of this.#keys) {
      const to = this.#froms[id + 1] as number;
      for (let place = (this.#froms[id] as number) + 1; place < to; place += 1) {
        const revision = this.#revisions[place] as number;
        if (this.#revisions[place - 1] === revision) {
          return `key "${key}" has two events at revision ${revision}`;
        }
      }
    }
    return null;
  }
}

/** Events in the order in which they were told. */
class ReadEvents {
  readonly keys = new Map<string, number>();
  #keyIds = new Int32Array(1024);
  #revisions = new Float64Array(1024);
  #hashes = new Float64Array(1024);
  count = 0;
  problem: string | null = null;

  add(key: string, revision: number, hash: number): void {
    let id = this.keys.get(key);
    if (id === undefined) {
      id = this.keys.size;
      this.keys.set(key, id);
    }
    if (this.count === this.#keyIds.length) this.#grow();
    this.#keyIds[this.count] = id;
    this.#revisions[this.count] = revision;
    this.#hashes[this.count] = hash;
    this.count += 1;
  }

  keyAt(at: number): number {
    return this.#keyIds[at] as number;
  }

  revisionAt(at: number): number {
    return this.#revisions[at] as number;
  }

  hashAt(at: number): number {
    return this.#hashes[at] as number;
  }

  #grow(): void {
    const size = this.count * 2;
    const keyIds = new Int32Array(size);
    const revisions = new Float64Array(size);
    const hashes = new Float64Array(size);
    keyIds.set(this.#keyIds);
    revisions.set(this.#revisions);
    hashes.set(this.#hashes);
    this.#keyIds = keyIds;
    this.#revisions = revisions;
    this.#hashes = hashes;
  }
}
