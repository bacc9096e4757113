import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnWorker } from '../../src/cluster/spawn-worker.js';

export interface JobWorkersOptions {
  /** For their logs, and what they have. */
  readonly folder: string;
  /** The compiled command. Default: that of this project. */
  readonly entry?: string | undefined;
  readonly endpoints: () => readonly string[];
}

interface Worker {
  readonly name: string;
  readonly child: ChildProcess;
  readonly log: string;
  readonly ended: Promise<void>;
  isExpectedToEnd: boolean;
}

const TAIL_CHARACTERS = 2000;
const SLOTS = 2;

/** Processes of `balsa worker`, which take tasks of jobs. No fault of the network hits them; they are killed instead. */
export class JobWorkers {
  /** Of those that ended although nothing was to make them. */
  readonly strangeEnds: string[] = [];
  readonly #options: JobWorkersOptions;
  readonly #running = new Map<string, Worker>();
  #tasks: string | null = null;
  #count = 0;

  constructor(options: JobWorkersOptions) {
    this.#options = options;
  }

  get running(): readonly string[] {
    return [...this.#running.keys()];
  }

  /** A module with the tasks that all of them have; until it is known there are none. */
  provide(code: string, count: number): void {
    // Not beside the source: what a worker makes of it stays when it is killed.
    this.#tasks = join(this.#options.folder, 'job-tasks.mjs');
    writeFileSync(this.#tasks, code);
    for (let i = 0; i < count; i += 1) this.start();
  }

  /** Another one joins. */
  start(): void {
    if (this.#tasks === null) return;
    const { folder, entry, endpoints } = this.#options;
    this.#count += 1;
    const name = `worker-${this.#count}`;
    const log = join(folder, `${name}.log`);
    const file = openSync(log, 'a');
    const child = spawnWorker({
      ...{ entry, tasks: this.#tasks, slots: SLOTS, endpoints: endpoints() },
      // It may join while nobody is there.
      flags: ['--timeout', '2m'],
      stdio: ['ignore', file, file],
    });
    closeSync(file);
    const ended = new Promise<void>((resolve) => {
      const end = (how: string): void => {
        this.#running.delete(name);
        if (!worker.isExpectedToEnd) this.#noteStrange(worker, how);
        resolve();
      };
      child.once('exit', (code, signal) => end(signal ?? `code ${code}`));
      child.once('error', (error) => end(error.message));
    });
    const worker: Worker = { name, child, log, ended, isExpectedToEnd: false };
    this.#running.set(name, worker);
  }

  async kill(name: string): Promise<void> {
    const worker = this.#running.get(name);
    if (worker === undefined) return;
    worker.isExpectedToEnd = true;
    worker.child.kill('SIGKILL');
    await worker.ended;
  }

  /** Lets it stand still, or go on. */
  signal(name: string, signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#running.get(name)?.child.kill(signal);
  }

  async close(): Promise<void> {
    this.#tasks = null;
    await Promise.all(this.running.map((name) => this.kill(name)));
  }

  #noteStrange({ name, log }: Worker, how: string): void {
    const tail = readFileSync(log, 'utf8').slice(-TAIL_CHARACTERS);
    this.strangeEnds.push(`${name} ended by itself (${how}):\n${tail}`);
  }
}
