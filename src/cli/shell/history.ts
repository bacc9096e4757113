import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import type { CliIo } from '../io.js';

/** Lines that are kept. */
const LINES_MAX = 1000;

/** The lines of earlier shells, in a file that only its owner can read. */
export class History {
  readonly #path: string | null;
  readonly #say: (text: string) => void;
  #failed = false;

  /** @param given a path; `off`: nothing is kept; `undefined`: in the state folder of the user */
  constructor(given: string | undefined, env: CliIo['env'], say: (text: string) => void) {
    this.#path = given === 'off' ? null : (given ?? defaultPath(env));
    this.#say = say;
  }

  /** The newest first, as readline wants them. */
  async load(): Promise<string[]> {
    if (this.#path === null) return [];
    try {
      const lines = (await readFile(this.#path, 'utf8')).split('\n').filter((line) => line !== '');
      const kept = lines.slice(-LINES_MAX);
      if (lines.length > 2 * LINES_MAX) {
        await writeFile(this.#path, `${kept.join('\n')}\n`, { mode: 0o600 });
      }
      return kept.reverse();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#fail(error);
      return [];
    }
  }

  /** A line that begins with a blank is not to be kept. */
  async add(line: string): Promise<void> {
    if (this.#path === null || this.#failed || line.trim() === '' || /^\s/.test(line)) return;
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      await appendFile(this.#path, `${line}\n`, { mode: 0o600 });
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#failed = true;
    const why = error instanceof Error ? error.message : String(error);
    this.#say(`the history is not kept: ${why}`);
  }
}

function defaultPath(env: CliIo['env']): string {
  const state = env.XDG_STATE_HOME || join(env.HOME || homedir(), '.local', 'state');
  return join(state, 'balsa', 'history');
}
