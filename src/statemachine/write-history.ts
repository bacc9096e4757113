import { successor } from '../base/bytes.js';
import { BalsaError } from '../base/errors.js';
import type { Compaction } from './compaction.js';
import { fromValueRecordKey, toValueRecordKey } from './layout.js';
import type { Position } from './position.js';
import type { StateStore } from './state-store.js';
import type { HistoryPage, HistoryQuery, WriteEvent } from './types.js';
import { decodeValueRecord } from './value-record.js';

/** Records taken from the store at once. */
const CHUNK_RECORDS = 512;
const CHUNK_BYTES = 1024 * 1024;

/**
 * What was written at some revisions, in order: a scan of the history. Entries applied meanwhile add
 * to its end only, so they do not show; a compaction meanwhile may have removed some of it.
 * @throws BalsaError `COMPACTED`
 */
export async function readHistory(
  store: StateStore,
  compaction: Compaction,
  query: HistoryQuery & { readonly throughRevision: number },
): Promise<HistoryPage> {
  checkKept(query.fromRevision, compaction);
  const page = new HistoryBuilder(query);
  let from: Uint8Array = toValueRecordKey({ revision: query.fromRevision, sub: 0 });
  const to = toValueRecordKey({ revision: query.throughRevision + 1, sub: 0 });
  while (query.fromRevision <= query.throughRevision) {
    const keysMax = Math.min(CHUNK_RECORDS, Math.max(query.eventsMax, 1));
    const chunk = await store.scan({ from, to, keysMax, bytesMax: CHUNK_BYTES });
    checkKept(query.fromRevision, compaction);
    for (const [storeKey, bytes] of chunk.pairs) {
      const end = page.add(fromValueRecordKey(storeKey), bytes);
      if (end !== null) return end;
    }
    const last = chunk.pairs.at(-1)?.[0];
    if (!chunk.more || last === undefined) break;
    from = successor(last);
  }
  return page.finish();
}

function checkKept(revision: number, { compactedRevision }: Compaction): void {
  if (revision >= compactedRevision) return;
  throw new BalsaError(
    'COMPACTED',
    `the history from revision ${revision} on is no longer kept; the oldest is ${compactedRevision}`,
    { details: { revision, oldest: compactedRevision } },
  );
}

class HistoryBuilder {
  readonly #query: HistoryQuery & { readonly throughRevision: number };
  readonly #events: WriteEvent[] = [];
  /** Events of all revisions but the last one. */
  #wholeCount = 0;
  #lastRevision = 0;
  #bytes = 0;

  constructor(query: HistoryQuery & { readonly throughRevision: number }) {
    this.#query = query;
  }

  /** @returns the page when it ends before this record's revision */
  add(position: Position, bytes: Uint8Array): HistoryPage | null {
    const event = toEvent(position, bytes);
    if (event.revision !== this.#lastRevision) {
      this.#wholeCount = this.#events.length;
      this.#lastRevision = event.revision;
    }
    this.#bytes += event.key.byteLength + event.value.byteLength;
    const { eventsMax, bytesMax } = this.#query;
    const isFull = this.#events.length >= eventsMax || this.#bytes > bytesMax;
    if (isFull && this.#wholeCount > 0) {
      this.#events.length = this.#wholeCount;
      return { events: this.#events, nextRevision: event.revision };
    }
    this.#events.push(event);
    return null;
  }

  finish(): HistoryPage {
    const { fromRevision, throughRevision } = this.#query;
    return { events: this.#events, nextRevision: Math.max(fromRevision, throughRevision + 1) };
  }
}

function toEvent({ revision, sub }: Position, bytes: Uint8Array): WriteEvent {
  const record = decodeValueRecord(bytes);
  const { key, value, createRevision, version, lease, previous } = record;
  return {
    type: record.type === 'put' ? 'put' : 'delete',
    revision,
    sub,
    key,
    value,
    createRevision,
    version,
    lease,
    previous,
  };
}
