import { type Stats, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';

/** Times of files are coarser than the clock. */
const MARGIN_MS = 20;
const ABSENT = 'absent';
/** Not as it is now, whatever it is. */
const CHANGED = 'changed';

/**
 * The files that something is made of, as they were when it was made; also what was not there. They are looked at again and
 * again rather than watched: that works on every file system, and whatever way editors write.
 */
export class Sources {
  #states = new Map<string, string>();
  #startedMs = 0;

  /** It is made anew: what it is made of is told from now on. */
  begin(nowMs: number): void {
    this.#states = new Map();
    this.#startedMs = nowMs;
  }

  /** It takes part. What was read before it is told here, and has changed since it was begun, counts as changed. */
  add(path: string): void {
    if (this.#states.has(path)) return;
    let found: Stats | null = null;
    try {
      found = statSync(path);
    } catch {
      // It may come.
    }
    const isNew = found !== null && found.mtimeMs >= this.#startedMs - MARGIN_MS;
    this.#states.set(path, isNew ? CHANGED : stateOf(found));
  }

  get paths(): readonly string[] {
    return [...this.#states.keys()];
  }

  /** Whether anything is different from what it was made of. */
  async haveChanged(): Promise<boolean> {
    const now = await this.snapshot();
    return [...this.#states].some(([path, state]) => now.get(path) !== state);
  }

  /** As they are now. */
  async snapshot(): Promise<ReadonlyMap<string, string>> {
    const states = this.paths.map(async (path) => {
      const found = await stat(path).catch(() => null);
      return [path, stateOf(found)] as const;
    });
    return new Map(await Promise.all(states));
  }
}

export function isSame(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([path, state]) => b.get(path) === state);
}

function stateOf(found: Stats | null): string {
  return found === null ? ABSENT : `${found.mtimeMs} ${found.size} ${found.ino}`;
}
