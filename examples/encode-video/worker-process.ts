import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Problem } from './ffmpeg.js';

const PACKAGE = dirname(createRequire(import.meta.url).resolve('balsa/package.json'));
const COMMAND = join(PACKAGE, 'dist/cli/main.js');
const TAIL_CHARACTERS = 2000;

export interface WorkerProcessOptions {
  readonly tasks: string;
  readonly endpoints: readonly string[];
  /** Where its tasks put what they need for a while. */
  readonly temporaryFolder: string;
}

/** All that were started here, whether they are still there or not. */
const workers: WorkerProcess[] = [];

/** `balsa worker`, as it would be started on another machine. */
export class WorkerProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #said = '';
  hasEnded = false;
  #onChange: () => void = () => {};

  /** Resolves when it waits for tasks. @throws Problem it has ended before */
  static async start(options: WorkerProcessOptions): Promise<WorkerProcess> {
    const worker = new WorkerProcess(options);
    await worker.#until(() => worker.#said.includes('waits for tasks'));
    return worker;
  }

  static async killAll(): Promise<void> {
    await Promise.all(workers.map((worker) => worker.kill()));
  }

  /** Attempts at tasks of a job that any of them has begun. */
  static attemptsOf(job: string): number {
    return workers.reduce((sum, worker) => sum + worker.#said.split(`begun ${job} `).length - 1, 0);
  }

  private constructor({ tasks, endpoints, temporaryFolder }: WorkerProcessOptions) {
    const args = ['worker', tasks, '--label', 'ffmpeg', '--endpoints', endpoints.join(',')];
    this.#child = spawn(process.execPath, [COMMAND, ...args], {
      // Ctrl-C is for this process, which ends the workers.
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', TMPDIR: temporaryFolder },
    });
    workers.push(this);
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#said += chunk.toString();
      this.#onChange();
    });
    this.#ended = new Promise((resolve) => {
      const end = (): void => {
        this.hasEnded = true;
        this.#onChange();
        resolve();
      };
      this.#child.once('exit', end);
      this.#child.once('error', end);
    });
  }

  /** Tasks that it has begun so far, as it says. */
  get begun(): number {
    return this.#said.match(/^begun /gm)?.length ?? 0;
  }

  /** Resolves when it has begun so many. @throws Problem it has ended before */
  hasBegun(tasks: number): Promise<void> {
    return this.#until(() => this.begun >= tasks);
  }

  /** As when its machine has lost its power. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** Lets it finish what it has. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#ended;
  }

  #until(holds: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onChange = () => {
        if (holds()) resolve();
        else if (this.hasEnded) {
          reject(new Problem(`a worker has ended:\n${this.#said.slice(-TAIL_CHARACTERS)}`));
        }
      };
      this.#onChange();
    });
  }
}

// None outlives this process.
process.once('exit', () => void WorkerProcess.killAll());
