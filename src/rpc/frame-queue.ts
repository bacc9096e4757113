import { FRAME_PART_BYTES, framePart } from './frame-parts.js';

/** Bytes that the network may have to take while parts of a large frame wait. */
const UNDER_WAY_BYTES_MAX = 2 * FRAME_PART_BYTES;

interface Waiting {
  readonly frame: Buffer;
  /** Bytes of it that were written. */
  written: number;
}

/**
 * Frames on their way to the network, in order. A large one goes in parts, each when there is room for it, and
 * an urgent one overtakes what waits.
 */
export class FrameQueue {
  readonly #write: (message: Buffer, taken: () => void) => void;
  readonly #partBytes: number;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #underWayBytes = 0;
  #onEmpty: (() => void) | null = null;

  /**
   * @param write hands a message to the network, and calls back when that has taken it
   * @param partBytes larger frames go in parts of so many
   */
  constructor(
    write: (message: Buffer, taken: () => void) => void,
    partBytes: number = FRAME_PART_BYTES,
  ) {
    this.#write = write;
    this.#partBytes = partBytes;
  }

  /** Bytes that the network has not taken. */
  get pendingBytes(): number {
    return this.#waitingBytes + this.#underWayBytes;
  }

  send(frame: Buffer, isUrgent: boolean): void {
    const isSmall = frame.byteLength <= this.#partBytes;
    if (isSmall && (isUrgent || this.#waiting.length === 0)) {
      this.#hand(frame);
      return;
    }
    this.#waiting.push({ frame, written: 0 });
    this.#waitingBytes += frame.byteLength;
    this.#pump();
  }

  /** Calls back when all of it was handed to the network. */
  whenEmpty(callback: () => void): void {
    if (this.#waiting.length === 0) callback();
    else this.#onEmpty = callback;
  }

  /** Drops what waits. */
  clear(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#onEmpty = null;
  }

  #pump(): void {
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined || this.#underWayBytes >= UNDER_WAY_BYTES_MAX) break;
      const { frame, written } = first;
      const isWhole = frame.byteLength <= this.#partBytes;
      const next = isWhole
        ? frame.byteLength
        : Math.min(written + this.#partBytes, frame.byteLength);
      if (next === frame.byteLength) this.#waiting.shift();
      this.#waitingBytes -= next - written;
      first.written = next;
      this.#hand(isWhole ? frame : framePart(frame, written, this.#partBytes));
    }
    if (this.#waiting.length > 0) return;
    const callback = this.#onEmpty;
    this.#onEmpty = null;
    callback?.();
  }

  #hand(message: Buffer): void {
    const bytes = message.byteLength;
    this.#underWayBytes += bytes;
    this.#write(message, () => {
      this.#underWayBytes -= bytes;
      if (this.#waiting.length > 0) this.#pump();
    });
  }
}
