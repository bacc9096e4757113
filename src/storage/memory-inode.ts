/** The contents of one file of the simulated disk: what is durable, and the changes behind it. */

export const SECTOR_BYTES = 512;

export interface DataChange {
  readonly position: number;
  readonly bytes: Buffer;
}

export type Change = DataChange | { readonly size: number };

/** Bytes that grow; what lies between is zero. */
export class GrowingBytes {
  #buffer = Buffer.alloc(0);
  #length = 0;

  static copyOf(other: GrowingBytes): GrowingBytes {
    const copy = new GrowingBytes();
    copy.#buffer = Buffer.from(other.#buffer.subarray(0, other.#length));
    copy.#length = other.#length;
    return copy;
  }

  get length(): number {
    return this.#length;
  }

  read(position: number, length: number): Buffer {
    return Buffer.from(
      this.#buffer.subarray(
        position,
        Math.max(position, Math.min(position + length, this.#length)),
      ),
    );
  }

  write(position: number, bytes: Buffer): void {
    this.#grow(position + bytes.length);
    bytes.copy(this.#buffer, position);
  }

  resize(size: number): void {
    if (size < this.#length) {
      this.#buffer.fill(0, size, this.#length);
      this.#length = size;
    } else {
      this.#grow(size);
    }
  }

  flipBit(offset: number, bit: number): void {
    this.#buffer.writeUInt8(this.#buffer.readUInt8(offset) ^ (1 << bit), offset);
  }

  #grow(size: number): void {
    if (size > this.#buffer.length) {
      const bigger = Buffer.alloc(Math.max(size, this.#buffer.length * 2));
      this.#buffer.copy(bigger, 0, 0, this.#length);
      this.#buffer = bigger;
    }
    this.#length = Math.max(this.#length, size);
  }
}

export class Inode {
  readonly durable: GrowingBytes;
  readonly current: GrowingBytes;
  /** In `current` and not in `durable`, in order. */
  pending: Change[] = [];

  constructor(contents: GrowingBytes = new GrowingBytes()) {
    this.durable = contents;
    this.current = GrowingBytes.copyOf(contents);
  }

  change(change: Change): void {
    applyChange(this.current, change);
    this.pending.push(change);
  }

  /** The first `count` pending changes become durable. */
  sync(count: number): void {
    for (const change of this.pending.slice(0, count)) applyChange(this.durable, change);
    this.pending = this.pending.slice(count);
  }

  /**
   * As on Linux: what could not be written counts as clean from then on. It is read as if it were there, and no later sync
   * makes it durable, unless it is written again. (Sizes are kept: they are the file system's.)
   */
  failSync(count: number): void {
    this.pending = this.pending.filter((change, place) => place >= count || 'size' in change);
  }
}

export function applyChange(bytes: GrowingBytes, change: Change): void {
  if ('size' in change) bytes.resize(change.size);
  else bytes.write(change.position, change.bytes);
}

/** The parts of a write that lie in the sectors that were kept. */
export function tornPieces(
  write: DataChange,
  isSectorKept: (sector: number) => boolean,
): DataChange[] {
  const pieces: DataChange[] = [];
  const end = write.position + write.bytes.length;
  for (let from = write.position; from < end; ) {
    const sector = Math.floor(from / SECTOR_BYTES);
    const to = Math.min(end, (sector + 1) * SECTOR_BYTES);
    if (isSectorKept(sector)) {
      const bytes = write.bytes.subarray(from - write.position, to - write.position);
      pieces.push({ position: from, bytes });
    }
    from = to;
  }
  return pieces;
}
