import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';

/**
 * No replica outlives the process that started it, however that process ends.
 *
 * An `exit` handler kills the children in the ordinary cases, uncaught errors included. It does not
 * run when a signal ends this process (SIGKILL least of all), so a small shell, in a session of its
 * own, waits for the end of a pipe from here and then kills the children it was last told of.
 */
const GUARD_SCRIPT =
  'pids=; while read -r line; do pids=$line; done; [ -z "$pids" ] || kill -9 $pids 2>/dev/null';

const guarded = new Set<number>();
let shell: ChildProcess | null = null;

export function guardChild(pid: number): void {
  if (guarded.size === 0) process.on('exit', killAll);
  guarded.add(pid);
  tellShell();
}

export function unguardChild(pid: number): void {
  if (!guarded.delete(pid)) return;
  tellShell();
  if (guarded.size > 0) return;
  process.off('exit', killAll);
  shell?.stdin?.end();
  shell = null;
}

function killAll(): void {
  for (const pid of guarded) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      // It ended in this very moment: that is what was wanted.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

function tellShell(): void {
  if (process.platform === 'win32') return;
  shell ??= startShell();
  shell.stdin?.write(`${[...guarded].join(' ')}\n`);
}

function startShell(): ChildProcess {
  const child = spawn('/bin/sh', ['-c', GUARD_SCRIPT], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  // Without a shell the exit handler remains; there is nobody to report this to.
  child.on('error', () => {});
  child.stdin?.on('error', () => {});
  child.unref();
  (child.stdin as Socket | null)?.unref();
  return child;
}
