import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const EXIT_INTERRUPTED = 130;
export const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Until processes that were killed are gone. */
const GONE_MS_MAX = 5000;
const LOOK_MS = 10;

const last: (() => void)[] = [];

/**
 * From now on, all temporary files of this process and of those that it starts go into one folder, which is removed when it ends
 * by itself. All processes that it started (replicas, other stores, workers) are killed first: they would go on to write. To be
 * called before the first of them is started.
 */
export function clearAtExit(): void {
  const folder = mkdtempSync(join(tmpdir(), 'balsa-bench-'));
  process.env.TMPDIR = folder;
  // All of it in one turn: nothing of the benchmark runs meanwhile, and complains of what it misses.
  process.on('exit', () => {
    killAllBelow(process.pid);
    removeFolder(folder);
  });
}

/** The same, however it ends but for SIGKILL: Ctrl-C and SIGTERM end it with 130. */
export function leaveNothingBehind(): void {
  clearAtExit();
  for (const signal of SIGNALS) {
    process.once(signal, () => {
      for (const work of last) work();
      process.stderr.write(`${process.stderr.isTTY ? '\r\x1b[K' : ''}interrupted\n`);
      process.exit(EXIT_INTERRUPTED);
    });
  }
}

/** What else is to be done when it is interrupted, while what it started is still there. */
export function atInterrupt(work: () => void): void {
  last.push(work);
}

function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}

/** Kills them, and waits until they are gone. */
function killAllBelow(pid: number): void {
  const endMs = performance.now() + GONE_MS_MAX;
  for (let left = aliveBelow(pid); left.length > 0; left = aliveBelow(pid)) {
    for (const one of left) kill(one);
    if (performance.now() > endMs) return;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_MS);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // It has ended meanwhile: that is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

interface ProcessLine {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
}

/** Children, and theirs; without those that have ended and are not yet buried. Of Linux only: elsewhere none. */
function aliveBelow(pid: number): number[] {
  return below(pid, processes())
    .filter(({ state }) => state !== 'Z' && state !== 'X')
    .map((one) => one.pid);
}

/** @param all also processes of others */
export function below(pid: number, all: readonly ProcessLine[]): ProcessLine[] {
  const children = all.filter(({ parent }) => parent === pid);
  return [...children, ...children.flatMap((child) => below(child.pid, all))];
}

function processes(): ProcessLine[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      return parseProcess(Number(name), readFileSync(`/proc/${name}/stat`, 'utf8'));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ESRCH') return [];
      throw error;
    }
  });
}

export function parseProcess(pid: number, stat: string): ProcessLine {
  // The name may hold anything, also spaces and brackets.
  const [state = '', parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid, parent: Number(parent), state };
}
