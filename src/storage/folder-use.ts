import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.js';

/** How long a figure is good enough, in milliseconds: looking at thousands of files is not free. */
const KEPT_MS = 1000;

/** What the files of a folder take on the disk. */
export class FolderUse {
  readonly #folder: string;
  readonly #clock: Clock;
  #found: { readonly atMs: number; readonly bytes: Promise<number> } | null = null;

  constructor(folder: string, clock: Clock) {
    this.#folder = folder;
    this.#clock = clock;
  }

  bytes(): Promise<number> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#found === null || nowMs - this.#found.atMs >= KEPT_MS) {
      this.#found = { atMs: nowMs, bytes: measure(this.#folder) };
    }
    return this.#found.bytes;
  }
}

async function measure(folder: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(folder)) {
    // LevelDB deletes files at any time.
    const found = await stat(join(folder, name)).catch(() => null);
    bytes += found?.size ?? 0;
  }
  return bytes;
}
