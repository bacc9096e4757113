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

const HEAD_BYTES = 9;
const PART_MARK_OFFSET = 4;
const PART_MARK = 0xc1;

/** The part of a large frame that begins at `offset`. */
export function framePart(frame: Uint8Array, offset: number): Buffer {
  const end = Math.min(offset + FRAME_PART_BYTES, frame.byteLength);
  const part = Buffer.allocUnsafe(HEAD_BYTES + end - offset);
  part.writeUInt32BE(0, 0);
  part[PART_MARK_OFFSET] = PART_MARK;
  part.writeUInt32BE(frame.byteLength, PART_MARK_OFFSET + 1);
  part.set(frame.subarray(offset, end), HEAD_BYTES);
  return part;
}

/** Makes whole frames of the messages of one direction of a stream. */
export class FrameAssembler {
  readonly #frameBytesMax: number;
  #frame: Buffer | null = null;
  #filled = 0;

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  /**
   * The frame that is whole with this message; `null`: more parts are to come. A part that does not fit comes
   * back as it is: it is no frame, and whoever reads it says so.
   */
  take(message: Buffer): Buffer | null {
    if (message[PART_MARK_OFFSET] !== PART_MARK) return message;
    if (message.byteLength <= HEAD_BYTES) return message;
    const total = message.readUInt32BE(PART_MARK_OFFSET + 1);
    const frame = this.#frame ?? this.#begin(total);
    const end = this.#filled + message.byteLength - HEAD_BYTES;
    if (frame === null || total !== frame.byteLength || end > total) return message;
    message.copy(frame, this.#filled, HEAD_BYTES);
    this.#filled = end;
    if (end < total) return null;
    this.#frame = null;
    return frame;
  }

  #begin(total: number): Buffer | null {
    if (total > this.#frameBytesMax) return null;
    this.#frame = Buffer.allocUnsafeSlow(total);
    this.#filled = 0;
    return this.#frame;
  }
}
