import {
  makeChunk,
  NO_CHUNKS,
  type SnapshotChunk,
  type SnapshotEnd,
  type SnapshotHeader,
} from '../base/snapshot-codec.js';
import type { StateView } from '../storage/snapshot.js';

/** The place behind a chunk: from here the next one can be made again. */
interface Mark {
  readonly sums: SnapshotEnd;
  /** The last key through here; `null`: none. */
  readonly after: Uint8Array | null;
}

const BEGIN: Mark = { sums: NO_CHUNKS, after: null };

/**
 * A snapshot on its way to one receiver. It outlives the connection: chunks are made from the view in
 * order, and made again from any place that the receiver may still ask for (those between its last
 * acknowledgement and the last chunk made).
 */
export class OutboundSnapshot {
  readonly #view: StateView;
  readonly #chunkBytes: number;
  #header: SnapshotHeader;
  /** In order, without gaps; the last one is where the next chunk begins. Never empty. */
  #marks: Mark[] = [BEGIN];
  /** A chunk that was being read when the place changed is dropped. */
  #generation = 0;
  #closed = false;
  /** Reads of the view that are under way. */
  readonly #reading = new Set<Promise<unknown>>();

  constructor(parts: { view: StateView; header: SnapshotHeader; chunkBytes: number }) {
    this.#view = parts.view;
    this.#header = parts.header;
    this.#chunkBytes = parts.chunkBytes;
  }

  get header(): SnapshotHeader {
    return this.#header;
  }

  get index(): number {
    return this.#header.position.index;
  }

  /** Sums over all chunks made so far. */
  get sums(): SnapshotEnd {
    return this.#last.sums;
  }

  /** The next chunk; the end when there is none; `null` when the place was changed meanwhile. */
  async next(): Promise<SnapshotChunk | SnapshotEnd | null> {
    const generation = this.#generation;
    const { sums, after } = this.#last;
    if (this.#closed) return null;
    const read = this.#view.next(after, this.#chunkBytes);
    this.#reading.add(read);
    const pairs = await read.finally(() => this.#reading.delete(read));
    if (generation !== this.#generation || this.#closed) return null;
    const last = pairs.at(-1);
    if (last === undefined) return sums;
    const made = makeChunk(sums, pairs);
    this.#marks.push({ sums: made.sums, after: last[0] });
    return made.chunk;
  }

  /** The receiver has taken in chunks through `chunk`: it asks for nothing before it any more. */
  acknowledged(chunk: number): void {
    const drop = this.#marks.findIndex((mark) => mark.sums.chunks === chunk);
    if (drop > 0) this.#marks = this.#marks.slice(drop);
  }

  /** Goes on behind `chunk`; false when that place is not known any more. */
  rewindTo(chunk: number): boolean {
    const at = this.#marks.findIndex((mark) => mark.sums.chunks === chunk);
    if (at < 0 && chunk !== 0) return false;
    this.#generation += 1;
    this.#marks = at < 0 ? [BEGIN] : this.#marks.slice(0, at + 1);
    return true;
  }

  /** From the first chunk, under another name: the receiver has given up what it had. */
  restart(id: string): void {
    this.#header = { ...this.#header, id };
    this.rewindTo(0);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled(this.#reading);
    await this.#view.close();
  }

  get #last(): Mark {
    return this.#marks.at(-1) ?? BEGIN;
  }
}

export function isChunk(part: SnapshotChunk | SnapshotEnd): part is SnapshotChunk {
  return 'number' in part;
}
