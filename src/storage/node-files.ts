import fs from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Done, File, Files } from './files.js';

/** Most buffers that one writev takes (Linux: IOV_MAX). */
const CHUNKS_PER_WRITE_MAX = 1024;

/**
 * Less is written at once: into the cache of the system, which is sooner done than to ask a thread of Node's pool, and to hear of it a
 * turn of the event loop later. In bytes; less than what a log is prepared in, where many writes follow each other.
 */
const AT_ONCE_BYTES_MAX = 12 * 1024;

/** {@link Files} on the disks of this machine. */
export class NodeFiles implements Files {
  list(folder: string): string[] {
    try {
      return fs.readdirSync(folder).sort();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  /**
   * One level at a time, each made durable in its parent: a folder whose own name is lost in a power
   * failure takes all that was synced in it along. (Node's recursive mkdir does not sync, and never
   * returns below some system folders.)
   */
  makeFolder(folder: string): void {
    const path = resolve(folder);
    if (fs.statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
    const parent = dirname(path);
    if (parent !== path) this.makeFolder(parent);
    fs.mkdirSync(path);
    this.syncFolder(parent);
  }

  syncFolder(folder: string): void {
    const handle = fs.openSync(folder, 'r');
    try {
      fs.fsyncSync(handle);
    } finally {
      fs.closeSync(handle);
    }
  }

  syncFolderLater(folder: string, done: Done): void {
    fs.open(folder, 'r', (openError, handle) => {
      if (openError !== null) return done(openError);
      fs.fsync(handle, (syncError) => {
        fs.close(handle, (closeError) => done(syncError ?? closeError ?? null));
      });
    });
  }

  exists(path: string): boolean {
    return fs.existsSync(path);
  }

  readWhole(path: string): Buffer {
    return fs.readFileSync(path);
  }

  rename(from: string, to: string): void {
    fs.renameSync(from, to);
  }

  remove(path: string): void {
    fs.unlinkSync(path);
  }

  removeFolderLater(folder: string, done: Done): void {
    fs.rm(folder, { recursive: true, force: true }, done);
  }

  open(path: string): File {
    return new NodeFile(path, fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT));
  }
}

class NodeFile implements File {
  readonly path: string;
  readonly #handle: number;

  constructor(path: string, handle: number) {
    this.path = path;
    this.#handle = handle;
  }

  size(): number {
    return fs.fstatSync(this.#handle).size;
  }

  readAt(position: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafeSlow(length);
    let filled = 0;
    while (filled < length) {
      const count = fs.readSync(this.#handle, bytes, filled, length - filled, position + filled);
      if (count === 0) break;
      filled += count;
    }
    return bytes.subarray(0, filled);
  }

  readAtLater(
    position: number,
    length: number,
    done: (error: NodeJS.ErrnoException | null, bytes: Buffer) => void,
  ): void {
    const bytes = Buffer.allocUnsafeSlow(length);
    const readFrom = (filled: number): void => {
      fs.read(
        this.#handle,
        bytes,
        filled,
        length - filled,
        position + filled,
        (error, countRead) => {
          const total = filled + countRead;
          if (error !== null) return done(error, bytes.subarray(0, filled));
          if (countRead === 0 || total === length) return done(null, bytes.subarray(0, total));
          readFrom(total);
        },
      );
    };
    readFrom(0);
  }

  writeAt(position: number, chunks: readonly Uint8Array[]): void {
    let rest = chunks;
    let at = position;
    while (rest.length > 0) {
      const written = fs.writevSync(this.#handle, rest.slice(0, CHUNKS_PER_WRITE_MAX), at);
      at += written;
      rest = withoutFirst(rest, written);
    }
  }

  writeAtLater(position: number, chunks: readonly Uint8Array[], done: Done): void {
    const [first] = chunks;
    if (first === undefined) return void process.nextTick(done, null);
    if (bytesOf(chunks) <= AT_ONCE_BYTES_MAX) {
      process.nextTick(done, this.#writeAtOnce(position, chunks));
      return;
    }
    const next = (error: NodeJS.ErrnoException | null, written: number): void => {
      const rest = error === null ? withoutFirst(chunks, written) : [];
      if (rest.length === 0) done(error);
      else this.writeAtLater(position + written, rest, done);
    };
    if (chunks.length === 1) {
      // One buffer is the rule, and `write` is the cheaper call.
      fs.write(this.#handle, first, 0, first.byteLength, position, next);
    } else {
      fs.writev(this.#handle, chunks.slice(0, CHUNKS_PER_WRITE_MAX), position, next);
    }
  }

  #writeAtOnce(position: number, chunks: readonly Uint8Array[]): NodeJS.ErrnoException | null {
    try {
      this.writeAt(position, chunks);
      return null;
    } catch (error) {
      return error as NodeJS.ErrnoException;
    }
  }

  truncate(size: number): void {
    fs.ftruncateSync(this.#handle, size);
  }

  sync(): void {
    fs.fdatasyncSync(this.#handle);
  }

  syncLater(done: Done): void {
    fs.fdatasync(this.#handle, done);
  }

  close(): void {
    fs.closeSync(this.#handle);
  }
}

function bytesOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
}

/** What is left of `chunks` behind their first `count` bytes (a write may be short). */
function withoutFirst(chunks: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let index = 0;
  let left = count;
  for (let chunk = chunks[0]; chunk !== undefined && left >= chunk.byteLength; ) {
    left -= chunk.byteLength;
    index += 1;
    chunk = chunks[index];
  }
  const cut = chunks[index];
  if (cut === undefined) return [];
  return [cut.subarray(left), ...chunks.slice(index + 1)];
}
