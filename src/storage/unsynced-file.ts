import type { File } from './files.js';

type Change =
  | { readonly type: 'write'; readonly position: number; readonly bytes: Buffer }
  | { readonly type: 'truncate'; readonly size: number };

/** What was done to a file since its last sync, in memory alone. All handles of a file share it. */
export class UnsyncedFile {
  #changes: Change[] = [];
  /** With the changes; `null`: as on the disk. */
  #size: number | null = null;

  get isClean(): boolean {
    return this.#changes.length === 0;
  }

  size(onDisk: File): number {
    return this.#size ?? onDisk.size();
  }

  write(onDisk: File, position: number, chunks: readonly Uint8Array[]): void {
    const bytes = Buffer.concat(chunks);
    // Nothing makes no file longer, wherever it is written.
    if (bytes.byteLength === 0) return;
    this.#size = Math.max(this.size(onDisk), position + bytes.byteLength);
    // A copy: the writer may use its buffers again.
    this.#changes.push({ type: 'write', position, bytes });
  }

  truncate(size: number): void {
    this.#size = size;
    this.#changes.push({ type: 'truncate', size });
  }

  read(onDisk: File, position: number, length: number): Buffer {
    const size = this.size(onDisk);
    const bytes = Buffer.alloc(Math.max(0, Math.min(length, size - position)));
    onDisk.readAt(position, bytes.byteLength).copy(bytes);
    for (const change of this.#changes) {
      if (change.type === 'truncate') bytes.fill(0, Math.max(0, change.size - position));
      else overlay(bytes, position, change);
    }
    return bytes;
  }

  /** Writes all of it to the disk; whether it is durable there is for a sync to say. */
  settle(onDisk: File): void {
    for (const change of this.#changes) {
      if (change.type === 'write') onDisk.writeAt(change.position, [change.bytes]);
      else onDisk.truncate(change.size);
    }
    this.#changes = [];
    this.#size = null;
  }
}

function overlay(
  target: Buffer,
  position: number,
  { position: at, bytes }: { readonly position: number; readonly bytes: Buffer },
): void {
  const from = Math.max(position, at);
  const to = Math.min(position + target.byteLength, at + bytes.byteLength);
  if (from < to) bytes.copy(target, from - position, from - at, to - at);
}
