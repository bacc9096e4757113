import { compareBytes } from '../base/bytes.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { Limits } from '../base/limits.js';
import type { ClientAnswer, WatchRequest } from '../rpc/protocol.js';
import { toWireError } from '../rpc/wire-error.js';
import type { Replica } from './replica.js';
import type { Watcher, WatchSink } from './watcher.js';

/** What the watches of a stream need of it. */
export interface ClientWatchesOptions {
  readonly limits: Limits;
  readonly answer: (answer: ClientAnswer) => void;
  /** Bytes of answers that the network has not taken. */
  readonly waitingBytes: () => number;
}

/** The watches of one client stream. */
export class ClientWatches implements WatchSink {
  readonly #options: ClientWatchesOptions;
  /** By id of the request; `null`: it waits for the state that it asks for. */
  readonly #watches = new Map<number, { replica: Replica; watcher: Watcher | null }>();

  constructor(options: ClientWatchesOptions) {
    this.#options = options;
  }

  /** @throws BalsaError `OVERLOADED`, `INVALID_ARGUMENT`, `KEY_TOO_LARGE` */
  begin(replica: Replica, request: WatchRequest): void {
    const { id } = request;
    this.#check(request);
    const watch: { replica: Replica; watcher: Watcher | null } = { replica, watcher: null };
    this.#watches.set(id, watch);
    replica.read(request, (error) => {
      // Cancelled meanwhile, or the stream is closed.
      if (this.#watches.get(id) !== watch) return;
      if (error !== null) this.#refuse(id, error);
      else this.#begin(watch, request);
    });
  }

  #begin(watch: { replica: Replica; watcher: Watcher | null }, request: WatchRequest): void {
    const { replica } = watch;
    try {
      watch.watcher = replica.watches.watch(request, this);
    } catch (error) {
      this.#refuse(request.id, asBalsaError(error));
      return;
    }
    const meta = replica.meta();
    const { id } = request;
    this.#options.answer({ type: 'watch-created', id, meta, revision: replica.machine.revision });
  }

  /** Nothing is said of it any more. */
  cancel(id: number): void {
    const watch = this.#watches.get(id);
    if (watch === undefined) return;
    this.#watches.delete(id);
    if (watch.watcher !== null) watch.replica.watches.cancel(watch.watcher);
  }

  /** The stream is closed. */
  cancelAll(): void {
    for (const id of [...this.#watches.keys()]) this.cancel(id);
  }

  // -------------------------------------------------------------------------------------------
  // WatchSink

  get waitingBytes(): number {
    return this.#options.waitingBytes();
  }

  send(answer: ClientAnswer): void {
    if (answer.type === 'error') this.#watches.delete(answer.id);
    this.#options.answer(answer);
  }

  // -------------------------------------------------------------------------------------------

  #check({ id, from, to, startRevision }: WatchRequest): void {
    const { watchesPerStreamMax, keyBytesMax } = this.#options.limits;
    if (this.#watches.has(id)) {
      throw new BalsaError('FRAME_INVALID', `watch ${id}: the stream has one with this id`);
    }
    if (this.#watches.size >= watchesPerStreamMax) {
      const message = `at most ${watchesPerStreamMax} watches on one stream (watchesPerStreamMax)`;
      throw new BalsaError('OVERLOADED', message, { details: { retryAfterMs: 1000 } });
    }
    // The end of a single key is one byte longer.
    if (from.byteLength > keyBytesMax || (to !== null && to.byteLength > keyBytesMax + 1)) {
      const message = `a bound of the watch is longer than ${keyBytesMax} bytes (keyBytesMax)`;
      throw new BalsaError('KEY_TOO_LARGE', message, { details: { limit: keyBytesMax } });
    }
    if (to !== null && compareBytes(from, to) >= 0) {
      throw new BalsaError('INVALID_ARGUMENT', 'the range of the watch is empty: from >= to');
    }
    if (startRevision === 0) {
      throw new BalsaError('INVALID_ARGUMENT', 'the first revision to watch from is 1');
    }
  }

  #refuse(id: number, error: BalsaError): void {
    this.send({ type: 'error', id, error: toWireError(error) });
  }
}
