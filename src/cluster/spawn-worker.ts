import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { guardChild, unguardChild } from './child-guard.js';
import { findEntry } from './entry.js';

export interface SpawnWorkerOptions {
  /** The compiled command. Default: that of this package. */
  readonly entry?: string | undefined;
  /** The module with its tasks. */
  readonly tasks: string;
  readonly slots: number;
  readonly endpoints: readonly string[];
  /** What else the command is told. */
  readonly flags?: readonly string[];
  readonly stdio: StdioOptions;
}

/** `balsa worker`, in a process that does not outlive this one. */
export function spawnWorker(options: SpawnWorkerOptions): ChildProcess {
  const { entry = findEntry(), tasks, slots, endpoints, flags = [], stdio } = options;
  const args = ['worker', tasks, '--slots', String(slots), '--endpoints', endpoints.join(',')];
  const child = spawn(process.execPath, [entry, ...args, ...flags], {
    stdio,
    env: { ...process.env, NO_COLOR: '1' },
    // Ctrl-C is for this process, which ends the workers.
    detached: true,
  });
  const { pid } = child;
  if (pid === undefined) return child;
  guardChild(pid);
  child.once('exit', () => unguardChild(pid));
  return child;
}
