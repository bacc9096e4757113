import type { KeyValue } from '../base/operation.js';
import { corrupt } from './corrupt.js';
import { type KeyRecord, positionAt } from './key-record.js';
import { toValueRecordKey } from './layout.js';
import type { Position } from './position.js';
import type { StateStore } from './state-store.js';
import { decodeValueRecord, type ValueRecord, valueIn } from './value-record.js';

/** What a version of a key is, without its value. */
export interface KeyVersion {
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: number;
}

/** A key and its value take so much of the space that is counted. */
export function sizeOf(item: Pick<KeyValue, 'key' | 'value'>): number {
  return item.key.byteLength + item.value.byteLength;
}

/** Finds what keys held at earlier revisions: the writes of a key form a chain (see `linkNext`). */
export class KeyChains {
  readonly #store: StateStore;
  readonly #compaction: { readonly compactedRevision: number };

  constructor(store: StateStore, compaction: { readonly compactedRevision: number }) {
    this.#store = store;
    this.#compaction = compaction;
  }

  /**
   * What the key of `record` held at `revision`, which must not be compacted; `record` may be any of
   * the key since then.
   */
  resolve(record: KeyRecord, revision: number): KeyValue | null {
    const position = this.locate(record, revision);
    return position === null ? null : this.itemAt(position);
  }

  /** What was written at `position`; `null`: it was deleted, or it is no longer kept. */
  itemAt(position: Position): KeyValue | null {
    const found = this.load(position);
    if (found === null || found.type === 'tombstone') return null;
    return toItem(found, position.revision);
  }

  /** The newest write of the key that is not newer than `revision`; `null`: there was no such key then. */
  locate(record: KeyRecord, revision: number): Position | null {
    if (record.modified.revision <= revision) return record.version > 0 ? record.modified : null;
    let newer = record.modified;
    const { back } = record;
    for (let place = 0; 2 * place < back.length; place += 1) {
      const position = positionAt(back, place);
      if (position.revision <= revision) break;
      newer = position;
    }
    for (;;) {
      const { previous, skip } = this.#mustLoad(newer);
      if (previous.revision <= revision) return previous.revision === 0 ? null : previous;
      newer = skip.revision > revision ? skip : previous;
    }
  }

  /** `null`: it is no longer kept, which only happens to what no longer counts at `compactedRevision`. */
  load(position: Position): ValueRecord | null {
    const bytes = this.#store.get(toValueRecordKey(position));
    if (bytes !== undefined) return decodeValueRecord(bytes);
    if (position.revision <= this.#compaction.compactedRevision) return null;
    throw missing(position);
  }

  /** The value of a key whose last write is at `position`. */
  valueAt(position: Position): Uint8Array {
    const bytes = this.#store.get(toValueRecordKey(position));
    if (bytes === undefined) throw missing(position);
    return valueIn(bytes);
  }

  #mustLoad(position: Position): ValueRecord {
    const found = this.load(position);
    if (found === null) throw missing(position);
    return found;
  }
}

export function toItem(record: ValueRecord, modRevision: number): KeyValue {
  const { key, value, createRevision, version, lease } = record;
  return { key, value, createRevision, modRevision, version, lease };
}

function missing(position: Position): Error {
  return corrupt(`no value for revision ${position.revision}`);
}
