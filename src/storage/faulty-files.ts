import type { DiskFaultStep, DiskFaults } from './disk-faults.js';
import type { Done, File, Files } from './files.js';
import { UnsyncedFile } from './unsynced-file.js';

/**
 * {@link Files} of this machine with the faults that a test wants: errors, slow syncs, and the loss of what was not synced
 * when the process is killed. Names of files are as durable as the disk below makes them.
 */
export class FaultyFiles implements Files {
  readonly #inner: Files;
  readonly #faults: DiskFaults;
  readonly #losesUnsynced: boolean;
  /** By path: what is not synced. */
  readonly #unsynced = new Map<string, UnsyncedFile>();

  constructor(inner: Files, faults: DiskFaults) {
    this.#inner = inner;
    this.#faults = faults;
    this.#losesUnsynced = faults.losesUnsynced;
  }

  list(folder: string): string[] {
    return this.#inner.list(folder);
  }

  makeFolder(folder: string): void {
    this.#step('write', folder);
    this.#inner.makeFolder(folder);
  }

  syncFolder(folder: string): void {
    this.#step('sync', folder);
    this.#inner.syncFolder(folder);
  }

  syncFolderLater(folder: string, done: Done): void {
    this.#later('sync', folder, done, () => this.#inner.syncFolderLater(folder, done));
  }

  exists(path: string): boolean {
    return this.#inner.exists(path);
  }

  readWhole(path: string): Buffer {
    this.#step('read', path);
    const unsynced = this.#unsynced.get(path);
    if (unsynced === undefined || unsynced.isClean) return this.#inner.readWhole(path);
    const file = this.#inner.open(path);
    try {
      return unsynced.read(file, 0, unsynced.size(file));
    } finally {
      file.close();
    }
  }

  rename(from: string, to: string): void {
    this.#step('rename', to);
    this.#inner.rename(from, to);
    const moved = this.#unsynced.get(from);
    this.#unsynced.delete(from);
    if (moved === undefined) this.#unsynced.delete(to);
    else this.#unsynced.set(to, moved);
  }

  remove(path: string): void {
    this.#step('remove', path);
    this.#inner.remove(path);
    this.#unsynced.delete(path);
  }

  removeFolderLater(folder: string, done: Done): void {
    this.#later('remove', folder, done, () => this.#inner.removeFolderLater(folder, done));
  }

  open(path: string): File {
    this.#step('open', path);
    const file = this.#inner.open(path);
    let unsynced: UnsyncedFile | null = null;
    if (this.#losesUnsynced) {
      unsynced = this.#unsynced.get(path) ?? new UnsyncedFile();
      this.#unsynced.set(path, unsynced);
    }
    return new FaultyFile(file, this.#faults, unsynced);
  }

  #step(step: DiskFaultStep, path: string): void {
    const error = this.#faults.errorOf(step, path);
    if (error !== null) throw error;
  }

  #later(step: DiskFaultStep, path: string, done: Done, work: () => void): void {
    const error = this.#faults.errorOf(step, path);
    if (error === null) work();
    else setImmediate(done, error);
  }
}

class FaultyFile implements File {
  readonly path: string;
  readonly #inner: File;
  readonly #faults: DiskFaults;
  readonly #unsynced: UnsyncedFile | null;

  constructor(inner: File, faults: DiskFaults, unsynced: UnsyncedFile | null) {
    this.path = inner.path;
    this.#inner = inner;
    this.#faults = faults;
    this.#unsynced = unsynced;
  }

  size(): number {
    return this.#unsynced?.size(this.#inner) ?? this.#inner.size();
  }

  readAt(position: number, length: number): Buffer {
    this.#step('read');
    if (this.#unsynced === null || this.#unsynced.isClean) {
      return this.#inner.readAt(position, length);
    }
    return this.#unsynced.read(this.#inner, position, length);
  }

  readAtLater(
    position: number,
    length: number,
    done: (error: NodeJS.ErrnoException | null, bytes: Buffer) => void,
  ): void {
    const error = this.#faults.errorOf('read', this.path);
    if (error !== null) setImmediate(done, error, Buffer.alloc(0));
    else if (this.#unsynced === null || this.#unsynced.isClean) {
      this.#inner.readAtLater(position, length, done);
    } else setImmediate(done, null, this.#unsynced.read(this.#inner, position, length));
  }

  writeAt(position: number, chunks: readonly Uint8Array[]): void {
    this.#step('write');
    if (this.#unsynced === null) this.#inner.writeAt(position, chunks);
    else this.#unsynced.write(this.#inner, position, chunks);
  }

  writeAtLater(position: number, chunks: readonly Uint8Array[], done: Done): void {
    const error = this.#faults.errorOf('write', this.path);
    if (error !== null) setImmediate(done, error);
    else if (this.#unsynced === null) this.#inner.writeAtLater(position, chunks, done);
    else {
      this.#unsynced.write(this.#inner, position, chunks);
      setImmediate(done, null);
    }
  }

  truncate(size: number): void {
    this.#step('write');
    if (this.#unsynced === null) this.#inner.truncate(size);
    else this.#unsynced.truncate(size);
  }

  sync(): void {
    this.#step('sync');
    this.#unsynced?.settle(this.#inner);
    this.#inner.sync();
  }

  syncLater(done: Done): void {
    const error = this.#faults.errorOf('sync', this.path);
    if (error !== null) {
      setImmediate(done, error);
      return;
    }
    const delayMs = this.#faults.syncDelayMs;
    if (delayMs > 0) setTimeout(() => this.#settleAndSync(done), delayMs);
    else this.#settleAndSync(done);
  }

  close(): void {
    this.#inner.close();
  }

  #settleAndSync(done: Done): void {
    try {
      this.#unsynced?.settle(this.#inner);
    } catch (error) {
      setImmediate(done, error as NodeJS.ErrnoException);
      return;
    }
    this.#inner.syncLater(done);
  }

  #step(step: DiskFaultStep): void {
    const error = this.#faults.errorOf(step, this.path);
    if (error !== null) throw error;
  }
}
