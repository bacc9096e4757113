import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  decodeSegmentHeader,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  readFrameHeader,
  SEGMENT_HEADER_BYTES,
} from '../../src/storage/wal/format.js';

/** The last segment of a stopped replica's log, as bytes to do damage to. */
export class WalFile {
  readonly path: string;
  readonly #original: Buffer;

  constructor(dataFolder: string) {
    const folder = join(dataFolder, 'wal');
    const names = readdirSync(folder).filter((name) => name.endsWith('.wal'));
    const used = names.sort().map((name) => join(folder, name));
    // A segment made ahead has no frame yet.
    const last = used.findLast((path) => readFileSync(path).includes(FRAME_MAGIC));
    if (last === undefined) throw new Error(`no log in ${folder}`);
    this.path = last;
    this.#original = readFileSync(last);
  }

  /** Turns one bit in the middle of what is written. */
  flipBit(): void {
    const bytes = Buffer.from(this.#original);
    const middle = Math.floor((SEGMENT_HEADER_BYTES + this.#end()) / 2);
    // Zeros between frames are not checked, and carry nothing.
    const at = bytes.findIndex((byte, i) => i >= middle && byte !== 0);
    bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
    writeFileSync(this.path, bytes);
  }

  /**
   * Leaves what a crash leaves that interrupts the write of the next frame: half of it, in place of the
   * seal of the idle log.
   */
  tear(): void {
    const bytes = Buffer.from(this.#original);
    const seal = bytes.lastIndexOf(FRAME_MAGIC);
    const salt = decodeSegmentHeader(bytes)?.salt ?? 0;
    if (readFrameHeader(bytes, seal, salt)?.kind !== 'seal') throw new Error('the log is not idle');
    bytes.fill(0xee, seal + FRAME_MAGIC.length, seal + FRAME_HEADER_BYTES + 100);
    writeFileSync(this.path, bytes);
  }

  restore(): void {
    writeFileSync(this.path, this.#original);
  }

  #end(): number {
    return this.#original.findLastIndex((byte) => byte !== 0) + 1;
  }
}
