import { BalsaError } from '../base/errors.js';
import { lastMarker, MARKERS_TO } from './flush-markers.js';
import type { Database } from './level-database.js';
import { checkedPairs, checkedValue } from './level-reads.js';
import type { DiskCursor } from './level-scan.js';
import type { StateView } from './snapshot.js';

type Snapshot = ReturnType<Database['snapshot']>;
type Cursor = DiskCursor & { close(): Promise<void> };
type Pair = readonly [key: Buffer, value: Buffer];

export interface ViewSource {
  readonly database: Database;
  readonly folder: string;
  /** Its store is closed, or being closed: there is nothing to see any more. */
  readonly isGone: () => boolean;
  /** Told when the disk fails or is damaged; answers with the error to throw. */
  readonly onFailure: (error: unknown) => Error;
}

/** What LevelDB hands over at a time: its buffers are made on the main thread. */
const SLICE_BYTES = 64 * 1024;
const SLICE_PAIRS = 256;

/** An explicit snapshot of LevelDB, without the markers. Reads go on in LevelDB's own threads. */
export class LevelStateView implements StateView {
  readonly index: number;
  readonly #source: ViewSource;
  readonly #snapshot: Snapshot;
  /** Stands behind the pair that was handed out last: whoever reads on in order needs no new one. */
  #iterator: Cursor | null = null;
  #lastKey: Buffer | null = null;
  /** Read and not yet handed out. */
  #ready: Pair[] = [];
  /** The end of all reads that were asked for: whoever gives one up does not wait for it before the next. */
  #reading: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  static async make(source: ViewSource): Promise<LevelStateView> {
    const { database, folder } = source;
    const snapshot = database.snapshot();
    try {
      // What was flushed may be more than the store has heard of: the snapshot itself says.
      const range = { lt: MARKERS_TO as Buffer, reverse: true, limit: 1, snapshot };
      const [marker] = await database.iterator(range).all();
      const index = marker === undefined ? 0 : lastMarker(marker, folder);
      return new LevelStateView(source, snapshot, index);
    } catch (error) {
      await snapshot.close();
      throw error;
    }
  }

  private constructor(source: ViewSource, snapshot: Snapshot, index: number) {
    this.#source = source;
    this.#snapshot = snapshot;
    this.index = index;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#checkOpen();
    const { database, folder } = this.#source;
    try {
      const stored = database.getSync(key as Buffer, { snapshot: this.#snapshot });
      return checkedValue(key, stored, folder);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  next(after: Uint8Array | null, bytesMax: number): Promise<readonly Pair[]> {
    const page = this.#reading.then(() => this.#next(after, bytesMax));
    this.#reading = page.then(
      () => {},
      () => {},
    );
    return page;
  }

  async #next(after: Uint8Array | null, bytesMax: number): Promise<readonly Pair[]> {
    this.#checkOpen();
    try {
      await this.#seek(after);
      return await this.#take(bytesMax);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  async close(): Promise<void> {
    await this.#reading;
    this.#isClosed = true;
    await this.#iterator?.close();
    await this.#snapshot.close();
  }

  async #seek(after: Uint8Array | null): Promise<void> {
    const isThere =
      after !== null && this.#lastKey !== null && Buffer.compare(after, this.#lastKey) === 0;
    if (isThere && this.#iterator !== null) return;
    await this.#iterator?.close();
    this.#ready = [];
    this.#lastKey = null;
    const from = after === null ? { gte: MARKERS_TO as Buffer } : { gt: after as Buffer };
    this.#iterator = this.#source.database.iterator({
      ...from,
      snapshot: this.#snapshot,
      highWaterMarkBytes: SLICE_BYTES,
      // A scan of everything would drive out what the readers need.
      fillCache: false,
    });
  }

  async #take(bytesMax: number): Promise<Pair[]> {
    const page: Pair[] = [];
    let bytes = 0;
    for (;;) {
      const next = this.#ready[0] ?? (await this.#read());
      if (next === undefined) break;
      bytes += next[0].byteLength + next[1].byteLength;
      if (bytes > bytesMax && page.length > 0) break;
      page.push(next);
      this.#ready.shift();
    }
    this.#lastKey = page.at(-1)?.[0] ?? this.#lastKey;
    return page;
  }

  async #read(): Promise<Pair | undefined> {
    const pairs = (await this.#iterator?.nextv(SLICE_PAIRS)) ?? [];
    this.#ready = checkedPairs(pairs, this.#source.folder);
    return this.#ready[0];
  }

  get #isGone(): boolean {
    return this.#isClosed || this.#source.isGone();
  }

  #checkOpen(): void {
    if (this.#isGone) throw closedError();
  }

  #failed(error: unknown): Error {
    return this.#isGone ? closedError() : this.#source.onFailure(error);
  }
}

function closedError(): BalsaError {
  return new BalsaError('SHUTTING_DOWN', 'the view of the state is closed');
}
