import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { asBalsaError, BalsaError } from '../base/errors.js';
import {
  checkEnd,
  countChunk,
  NO_CHUNKS,
  packSnapshotPart,
  type SnapshotChunk,
  type SnapshotEnd,
  type SnapshotHeader,
  type SnapshotPair,
  type SnapshotPart,
  unpackSnapshotPart,
} from '../base/snapshot-codec.js';

/**
 * A snapshot as a file:
 *
 *     magic                   16 bytes
 *     length(4), part         for the header, each chunk and the end; see `base/snapshot-codec`
 */
const MAGIC = Buffer.from('BALSA SNAPSHOT 1', 'latin1');
const LENGTH_BYTES = 4;
/** No part is longer: a chunk has one pair at least, and a value has its limit. */
const PART_BYTES_MAX = 128 * 1024 * 1024;

/** Until it is whole a backup has this behind its name. */
export const UNFINISHED_SUFFIX = '.unfinished';

/** Parts are written in larger pieces. */
const WRITE_BYTES = 1024 * 1024;

/**
 * Writes a snapshot to a file, which has its name only when it is whole and durable. What comes in is
 * checked: a backup that was damaged on its way is none.
 */
export class BackupWriter {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #inode: number;
  #waiting: Buffer[] = [MAGIC];
  #waitingBytes = MAGIC.byteLength;
  #bytes = MAGIC.byteLength;
  #header: SnapshotHeader | null = null;
  #sums: SnapshotEnd = NO_CHUNKS;
  #isWhole = false;

  /**
   * @throws BalsaError `INVALID_ARGUMENT` when there is such a file already and `overwrite` is false,
   *   `FILE_UNREADABLE` when none can be written there
   */
  static async create(path: string, overwrite: boolean): Promise<BackupWriter> {
    await refuseToOverwrite(path, overwrite);
    try {
      // A file of its own: somebody else may still be writing to the one that is there.
      await rm(path + UNFINISHED_SUFFIX, { force: true });
      const handle = await open(path + UNFINISHED_SUFFIX, 'wx');
      return new BackupWriter(path, handle, (await handle.stat()).ino);
    } catch (cause) {
      throw unusable(path, cause);
    }
  }

  private constructor(path: string, handle: FileHandle, inode: number) {
    this.#path = path;
    this.#handle = handle;
    this.#inode = inode;
  }

  /** Bytes of the file so far. */
  get bytes(): number {
    return this.#bytes;
  }

  get header(): SnapshotHeader | null {
    return this.#header;
  }

  get sums(): SnapshotEnd {
    return this.#sums;
  }

  /** @throws BalsaError `SNAPSHOT_CORRUPT`, `DISK_FULL`, `FILE_UNREADABLE` */
  async write(part: SnapshotPart): Promise<void> {
    this.#check(part);
    const bytes = packSnapshotPart(part);
    const length = Buffer.allocUnsafe(LENGTH_BYTES);
    length.writeUInt32BE(bytes.byteLength);
    this.#waiting.push(length, bytes);
    this.#waitingBytes += LENGTH_BYTES + bytes.byteLength;
    this.#bytes += LENGTH_BYTES + bytes.byteLength;
    if (this.#waitingBytes >= WRITE_BYTES) await this.#flush();
  }

  /**
   * Gives the file its name. It is on disk, whole, when this resolves.
   * @throws BalsaError `SNAPSHOT_CORRUPT` when the end has not come
   */
  async finish(overwrite: boolean): Promise<void> {
    if (!this.#isWhole) throw damaged('it ends before its end');
    await this.#flush();
    try {
      await this.#handle.sync();
      if (!(await this.#isOwn())) throw overtaken(this.#path);
      await this.#handle.close();
      await refuseToOverwrite(this.#path, overwrite);
      await rename(this.#path + UNFINISHED_SUFFIX, this.#path);
      await syncFolder(dirname(this.#path));
    } catch (cause) {
      throw unusable(this.#path, cause);
    }
  }

  /** Takes away what was written. */
  async abandon(): Promise<void> {
    const isOwn = await this.#isOwn();
    // Closing twice, or a disk that fails, changes nothing for somebody who gives up.
    await this.#handle.close().catch(() => undefined);
    if (isOwn) await rm(this.#path + UNFINISHED_SUFFIX, { force: true });
  }

  /** What has the unfinished name is this file, and not that of somebody who began later. */
  async #isOwn(): Promise<boolean> {
    const named = await stat(this.#path + UNFINISHED_SUFFIX).catch(() => null);
    return named?.ino === this.#inode;
  }

  #check(part: SnapshotPart): void {
    const isFirst = this.#header === null;
    if ((part.type === 'header') !== isFirst || this.#isWhole) {
      throw damaged(`a part of type ${part.type} that is not due`);
    }
    if (part.type === 'header') this.#header = part.header;
    else if (part.type === 'chunk') this.#sums = countChunk(this.#sums, part.chunk).sums;
    else {
      checkEnd(this.#sums, part.end);
      this.#isWhole = true;
    }
  }

  async #flush(): Promise<void> {
    const chunks = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    try {
      // Unlike `write`, it goes on after a part of the bytes.
      await this.#handle.appendFile(Buffer.concat(chunks));
    } catch (cause) {
      throw unusable(this.#path, cause);
    }
  }
}

async function refuseToOverwrite(path: string, overwrite: boolean): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found === null || (overwrite && found.isFile())) return;
  const what = found.isFile() ? 'is there already; --force replaces it' : 'is not a file';
  throw new BalsaError('INVALID_ARGUMENT', `${path} ${what}`, { details: { file: path } });
}

function overtaken(path: string): BalsaError {
  const problem = 'another backup was begun under the same name: it is that one which goes on';
  return new BalsaError('INVALID_ARGUMENT', `${path}: ${problem}`, { details: { file: path } });
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

// ---------------------------------------------------------------------------------------------
// Reading

/** A part of a backup, checked, and where it lies. */
export type BackupPart =
  | { readonly type: 'header'; readonly header: SnapshotHeader; readonly offset: number }
  | {
      readonly type: 'chunk';
      readonly chunk: SnapshotChunk;
      readonly pairs: readonly SnapshotPair[];
      readonly offset: number;
    }
  | { readonly type: 'end'; readonly end: SnapshotEnd; readonly offset: number };

/**
 * The parts of a backup, each checked: first the header, last the end. Ends only when the file is whole.
 * @throws BalsaError `FILE_UNREADABLE`, `FILE_INVALID` (not a backup), `SNAPSHOT_CORRUPT` with
 *   `details.file` and `details.offset`, `VERSION_UNSUPPORTED`
 */
export async function* readBackup(path: string): AsyncGenerator<BackupPart, void, undefined> {
  const file = await BackupReader.open(path);
  try {
    yield* file.parts();
  } finally {
    await file.close();
  }
}

class BackupReader {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #size: number;
  #offset = 0;
  #sums: SnapshotEnd = NO_CHUNKS;

  static async open(path: string): Promise<BackupReader> {
    try {
      const handle = await open(path, 'r');
      return new BackupReader(path, handle, (await handle.stat()).size);
    } catch (cause) {
      throw unusable(path, cause);
    }
  }

  private constructor(path: string, handle: FileHandle, size: number) {
    this.#path = path;
    this.#handle = handle;
    this.#size = size;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  async *parts(): AsyncGenerator<BackupPart, void, undefined> {
    const magic = await this.#read(Math.min(MAGIC.byteLength, this.#size));
    if (!magic.equals(MAGIC)) {
      throw new BalsaError('FILE_INVALID', `${this.#path} is not a snapshot of Balsa`, {
        details: { file: this.#path },
      });
    }
    const header = await this.#next();
    if (header.type !== 'header') throw this.#damaged('it does not begin with a header');
    yield header;
    for (;;) {
      const part = await this.#next();
      if (part.type === 'header') throw this.#damaged('a second header');
      if (part.type === 'end' && this.#offset < this.#size) {
        throw this.#damaged(`${this.#size - this.#offset} bytes behind the end`);
      }
      yield part;
      if (part.type === 'end') return;
    }
  }

  async #next(): Promise<BackupPart> {
    const offset = this.#offset;
    const length = (await this.#read(LENGTH_BYTES)).readUInt32BE();
    if (length > PART_BYTES_MAX) throw this.#damaged(`a part of ${length} bytes`, offset);
    const bytes = await this.#read(length, offset);
    try {
      return { ...this.#checked(unpackSnapshotPart(bytes)), offset };
    } catch (error) {
      const { code, message, details } = asBalsaError(error);
      throw new BalsaError(code, `${this.#path}, offset ${offset}: ${message}`, {
        cause: error,
        details: { ...details, file: this.#path, offset },
      });
    }
  }

  #checked(part: SnapshotPart) {
    if (part.type === 'header') return part;
    if (part.type === 'end') {
      checkEnd(this.#sums, part.end);
      return part;
    }
    const { pairs, sums } = countChunk(this.#sums, part.chunk);
    this.#sums = sums;
    return { ...part, pairs };
  }

  async #read(length: number, partOffset = this.#offset): Promise<Buffer> {
    if (this.#offset + length > this.#size) {
      throw this.#damaged(`it is cut off after ${this.#size} bytes`, partOffset);
    }
    const bytes = Buffer.allocUnsafe(length);
    try {
      for (let done = 0; done < length; ) {
        const { bytesRead } = await this.#handle.read(
          bytes,
          done,
          length - done,
          this.#offset + done,
        );
        // The file has become shorter while it was read.
        if (bytesRead === 0) throw this.#damaged('it is cut off', partOffset);
        done += bytesRead;
      }
    } catch (cause) {
      throw unusable(this.#path, cause);
    }
    this.#offset += length;
    return bytes;
  }

  #damaged(problem: string, offset = this.#offset): BalsaError {
    return new BalsaError(
      'SNAPSHOT_CORRUPT',
      `${this.#path}, offset ${offset}: the snapshot is damaged: ${problem}`,
      { details: { file: this.#path, offset } },
    );
  }
}

function damaged(problem: string): BalsaError {
  return new BalsaError('SNAPSHOT_CORRUPT', `the snapshot is damaged: ${problem}`);
}

/** A file that cannot be opened, read or written, and why. */
function unusable(path: string, cause: unknown): BalsaError {
  if (cause instanceof BalsaError) return cause;
  const { code, message } = cause as NodeJS.ErrnoException;
  const isFull = code === 'ENOSPC' || code === 'EDQUOT';
  // Node's messages are like "ENOENT: no such file or directory, open 'x'": the end says nothing new.
  const reason = message.replace(/, [a-z]+( '.*')?$/s, '');
  return new BalsaError(isFull ? 'DISK_FULL' : 'FILE_UNREADABLE', `${path}: ${reason}`, {
    cause,
    details: { file: path },
  });
}
