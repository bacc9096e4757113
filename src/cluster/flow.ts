import type { Socket } from 'node:net';

/** What a bad cable does to the bytes that pass. All of it is for one direction, and what is sent first arrives first. */
export interface LinkShape {
  /** Everything arrives so much later, in milliseconds. */
  readonly delayMs?: number | undefined;
  /** And later still by up to so much, at random. */
  readonly jitterMs?: number | undefined;
  /** At most so many bytes pass in a second. */
  readonly bytesPerSecond?: number | undefined;
  /**
   * Part of the pieces (of what arrives at once) that are lost: as TCP sends them again, they and all behind them
   * arrive 200 ms later.
   */
  readonly lossChance?: number | undefined;
  /** Part of the pieces in which one bit is turned over. */
  readonly corruptChance?: number | undefined;
}

const RETRANSMIT_MS = 200;
/** What waits on a shaped link; beyond, the sender has to wait. */
const QUEUED_BYTES_MAX = 1024 * 1024;

interface Piece {
  readonly bytes: Buffer;
  readonly dueMs: number;
}

/** One direction of a connection that passes through a proxy. */
export class Flow {
  readonly from: Socket;
  readonly #to: Socket;
  readonly #onOver: () => void;
  #isOpen = true;
  #shape: LinkShape | null = null;
  readonly #queue: Piece[] = [];
  #queuedBytes = 0;
  #lastDueMs = 0;
  #timer: NodeJS.Timeout | null = null;
  /** `from` has ended, or is gone as a whole, and `to` has not been told. */
  #news: 'end' | 'over' | null = null;

  /** @param onOver the pair has no more use: one side was reset, or both have ended */
  constructor(from: Socket, to: Socket, onOver: () => void) {
    this.from = from;
    this.#to = to;
    this.#onOver = onOver;
    from.on('data', (chunk: Buffer) => this.#take(chunk));
    from.on('end', () => this.#tell('end'));
    from.on('error', () => this.#tell('over'));
    from.on('close', () => {
      if (to.destroyed || from.errored !== null) this.#tell('over');
    });
    to.on('drain', () => this.#resume());
  }

  set(isOpen: boolean, shape: LinkShape | null): void {
    this.#isOpen = isOpen;
    this.#shape = shape;
    if (!isOpen) {
      this.from.pause();
      return;
    }
    this.#pump();
    this.#resume();
    if (this.#news !== null) this.#tell(this.#news);
  }

  /** Nothing passes any more. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#queue.length = 0;
  }

  #take(chunk: Buffer): void {
    if (this.#shape === null && this.#queue.length === 0) {
      if (!this.#to.write(chunk)) this.from.pause();
      return;
    }
    this.#queue.push(this.#piece(chunk, this.#shape ?? {}));
    this.#queuedBytes += chunk.byteLength;
    if (this.#queuedBytes > QUEUED_BYTES_MAX) this.from.pause();
    this.#pump();
  }

  #piece(chunk: Buffer, shape: LinkShape): Piece {
    const { delayMs = 0, jitterMs = 0, bytesPerSecond, lossChance = 0, corruptChance = 0 } = shape;
    const nowMs = performance.now();
    let dueMs = nowMs + delayMs + Math.random() * jitterMs;
    if (Math.random() < lossChance) dueMs += RETRANSMIT_MS;
    const takesMs = bytesPerSecond === undefined ? 0 : (chunk.byteLength / bytesPerSecond) * 1000;
    // Nothing overtakes on a connection.
    dueMs = Math.max(dueMs, this.#lastDueMs) + takesMs;
    this.#lastDueMs = dueMs;
    const bytes = Math.random() < corruptChance ? withBitFlipped(chunk) : chunk;
    return { bytes, dueMs };
  }

  #pump(): void {
    if (this.#timer !== null || !this.#isOpen) return;
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      const waitMs = next.dueMs - performance.now();
      if (waitMs > 0.5) {
        this.#timer = setTimeout(() => {
          this.#timer = null;
          this.#pump();
        }, waitMs);
        return;
      }
      this.#queue.shift();
      this.#queuedBytes -= next.bytes.byteLength;
      this.#to.write(next.bytes);
    }
    this.#resume();
    if (this.#news !== null) this.#tell(this.#news);
  }

  #tell(news: 'end' | 'over'): void {
    this.#news = news;
    if (!this.#isOpen) return;
    if (news === 'over') this.#onOver();
    else if (this.#queue.length === 0) this.#to.end();
  }

  #resume(): void {
    const mayRead = this.#queuedBytes <= QUEUED_BYTES_MAX && !this.#to.writableNeedDrain;
    if (this.#isOpen && mayRead) this.from.resume();
  }
}

function withBitFlipped(chunk: Buffer): Buffer {
  const bytes = Buffer.from(chunk);
  const at = Math.floor(Math.random() * bytes.byteLength);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(Math.random() * 8));
  return bytes;
}
