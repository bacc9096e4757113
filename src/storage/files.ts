/**
 * The file layer: the only way in which the write-ahead log and the data folder touch a disk, so
 * that tests and the simulator can take its place. Implementations: `NodeFiles` (the real one),
 * `MemoryFiles` (a simulated disk that knows what was synced, and can crash, tear, fill up, stall
 * and rot).
 *
 * Reading at start-up is synchronous (nobody is served yet); all that happens while serving calls
 * back, later: but what is small may be written into the cache of the system at once. Errors are
 * Node's, with `code` (`ENOSPC`, `EIO`, `EACCES`, …).
 */
export interface Files {
  /** Names in the folder, sorted; empty when it does not exist. */
  list(folder: string): string[];
  /** Creates the folder and its parents, and makes their names durable; what exists stays. */
  makeFolder(folder: string): void;
  /** Makes names that were created, renamed or removed in the folder durable. */
  syncFolder(folder: string): void;
  syncFolderLater(folder: string, done: Done): void;
  exists(path: string): boolean;
  readWhole(path: string): Buffer;
  /** Of a file or a folder. */
  rename(from: string, to: string): void;
  remove(path: string): void;
  /** Removes a folder and all in it; one that does not exist is gone already. */
  removeFolderLater(folder: string, done: Done): void;
  /** Opens for reading and writing; creates an empty file when there is none. */
  open(path: string): File;
}

export type Done = (error: NodeJS.ErrnoException | null) => void;

export interface File {
  readonly path: string;
  size(): number;
  /** Bytes at `position`; fewer than `length` only at the end of the file. */
  readAt(position: number, length: number): Buffer;
  readAtLater(
    position: number,
    length: number,
    done: (error: NodeJS.ErrnoException | null, bytes: Buffer) => void,
  ): void;
  /** Writes all of `chunks` one behind the other. Not durable before a `sync`. */
  writeAt(position: number, chunks: readonly Uint8Array[]): void;
  writeAtLater(position: number, chunks: readonly Uint8Array[], done: Done): void;
  truncate(size: number): void;
  /** fdatasync: contents and size are durable afterwards. */
  sync(): void;
  syncLater(done: Done): void;
  close(): void;
}
