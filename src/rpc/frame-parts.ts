/**
 * A frame beyond {@link FRAME_PART_BYTES} travels as several messages, so that small frames can go in between
 * and neither end works on all of it in one go. A message that is a part has a head of its own:
 *
 *     0 0 0 0  0xc1  length of the whole frame (4 bytes, big-endian)
 *
 * The fifth byte is that at which the contents of a whole frame begin, behind its checksum; msgpack never
 * uses 0xc1. Parts of one frame come in order, and those of the next one behind them.
 */
export const FRAME_PART_BYTES = 256 * 1024;
/** Where nothing else waits to go in between: that the network takes one is to be seen soon on a slow link, too. */
export const BULK_PART_BYTES = 64 * 1024;

const HEAD_BYTES = 9;
const PART_MARK_OFFSET = 4;
const PART_MARK = 0xc1;

/** The part of a large frame that begins at `offset`. */
export function framePart(frame: Uint8Array, offset: number, partBytes = FRAME_PART_BYTES): Buffer {
  const end = Math.min(offset + partBytes, frame.byteLength);
  const part = Buffer.allocUnsafe(HEAD_BYTES + end - offset);
  part.writeUInt32BE(0, 0);
  part[PART_MARK_OFFSET] = PART_MARK;
  part.writeUInt32BE(frame.byteLength, PART_MARK_OFFSET + 1);
  part.set(frame.subarray(offset, end), HEAD_BYTES);
  return part;
}

/** Bytes of frames that have come in part, over all streams that share it. */
export class PartialFrames {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** @returns false: there is no room for so many more */
  add(bytes: number): boolean {
    if (this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  remove(bytes: number): void {
    this.#bytes -= bytes;
  }
}

/** Makes whole frames of the messages of one direction of a stream. */
export class FrameAssembler {
  readonly #frameBytesMax: number;
  readonly #partial: PartialFrames | null;
  #frame: Buffer | null = null;
  #filled = 0;
  #isRefused = false;

  /** @param partial what the parts that have come count for; `null`: for nothing */
  constructor(frameBytesMax: number, partial: PartialFrames | null = null) {
    this.#frameBytesMax = frameBytesMax;
    this.#partial = partial;
  }

  /** There was no room for a part: nothing that comes is taken any more. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  /**
   * The frame that is whole with this message; `null`: more parts are to come, or there is no room for it. A part that
   * does not fit comes back as it is: it is no frame, and whoever reads it says so.
   */
  take(message: Buffer): Buffer | null {
    if (this.#isRefused) return null;
    if (message[PART_MARK_OFFSET] !== PART_MARK) return message;
    if (message.byteLength <= HEAD_BYTES) return message;
    const total = message.readUInt32BE(PART_MARK_OFFSET + 1);
    const frame = this.#frame ?? this.#begin(total);
    const bytes = message.byteLength - HEAD_BYTES;
    const end = this.#filled + bytes;
    if (frame === null || total !== frame.byteLength || end > total) return message;
    if (this.#partial?.add(bytes) === false) {
      this.release();
      this.#isRefused = true;
      return null;
    }
    message.copy(frame, this.#filled, HEAD_BYTES);
    this.#filled = end;
    if (end < total) return null;
    this.release();
    return frame;
  }

  /** Lets go of the parts that have come: the stream is over. */
  release(): void {
    this.#partial?.remove(this.#filled);
    this.#frame = null;
    this.#filled = 0;
  }

  #begin(total: number): Buffer | null {
    if (total > this.#frameBytesMax) return null;
    // Takes memory as it is filled.
    this.#frame = Buffer.allocUnsafeSlow(total);
    return this.#frame;
  }
}
