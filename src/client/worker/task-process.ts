import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Clock, Timer } from '../../base/clock.js';
import { asBalsaError, type BalsaError } from '../../base/errors.js';
import type { AssignedTask } from '../../rpc/job-protocol.js';
import type { TaskEvents, TaskOutcome } from '../worker-loop.js';
import type { FromTaskProcess, ToTaskProcess } from './worker-messages.js';

export interface TaskProcessOptions {
  readonly clock: Clock;
  /** URL of the module with the tasks. */
  readonly module: string;
  /** Between the request to end and the end, in milliseconds. */
  readonly graceMs: number;
  readonly env: NodeJS.ProcessEnv;
  /** It is there, and free; or it can never be. */
  readonly onReady: (tasks: readonly string[] | Error) => void;
  /** It is gone. */
  readonly onExit: () => void;
}

interface Running {
  readonly task: AssignedTask;
  readonly events: TaskEvents;
  readonly resolve: (outcome: TaskOutcome) => void;
  timer: Timer | null;
  /** Why it is being ended. */
  ending: TaskOutcome | null;
}

/** How often it is looked what memory it takes, in milliseconds. */
const MEMORY_MS = 250;
const PAGE_BYTES = 4096;

const CHILD = new URL(
  `./task-child.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`,
  import.meta.url,
);

/** A process that runs one task at a time. What is asked to end and does not is killed, with all that it has started. */
export class TaskProcess {
  readonly #options: TaskProcessOptions;
  readonly #child: ChildProcess;
  #running: Running | null = null;
  #isReady = false;
  /** It was asked to end. */
  #isClosing = false;
  #isGone = false;
  #killTimer: Timer | null = null;
  #memoryTimer: Timer | null = null;

  constructor(options: TaskProcessOptions) {
    this.#options = options;
    this.#child = fork(fileURLToPath(CHILD), [options.module], {
      // A group of its own, so that what its tasks start ends with it, and not with Ctrl-C at the terminal.
      detached: true,
      // Buffers stay what they are.
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: options.env,
    });
    this.#child.on('message', (message: FromTaskProcess) => this.#heard(message));
    this.#child.on('error', (error) => this.#gone(error.message));
    this.#child.on('exit', (code, signal) =>
      this.#gone(`its process ended with ${signal ?? code}`),
    );
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** It has loaded the module. */
  get isReady(): boolean {
    return this.#isReady;
  }

  get isFree(): boolean {
    return this.#isReady && !this.#isClosing && !this.#isGone && this.#running === null;
  }

  /** Only when it is free. Never rejects. */
  run(task: AssignedTask, input: unknown, events: TaskEvents): Promise<TaskOutcome> {
    return new Promise((resolve) => {
      const running: Running = { task, events, resolve, timer: null, ending: null };
      this.#running = running;
      const { args, checkpoint, ...rest } = task;
      const lastCheckpoint = checkpoint === null ? null : (JSON.parse(checkpoint) as unknown);
      const message: ToTaskProcess = {
        type: 'run',
        ...{ task: rest, input, lastCheckpoint },
        args: JSON.parse(args) as unknown,
      };
      this.#child.send(message, (error) => {
        if (error !== null) this.#gone(error.message);
      });
      if (task.timeoutMs > 0) {
        const ending = failed(`it took longer than ${task.timeoutMs} ms (timeoutMs)`);
        running.timer = this.#options.clock.setTimer(task.timeoutMs, () => this.#end(ending));
      }
      if (task.memoryBytes > 0) this.#watchMemory(task.memoryBytes);
    });
  }

  /** The task under way is asked to end, and ended. */
  stop(reason: string): void {
    if (this.#running !== null) this.#end(failed(reason));
  }

  /** Asks it to end, and ends it. */
  close(): void {
    this.#isClosing = true;
    if (this.#isGone) return;
    this.#child.kill('SIGTERM');
    this.#killTimer ??= this.#options.clock.setTimer(this.#options.graceMs, () => this.kill());
  }

  /** At once, with all that it has started. */
  kill(): void {
    const { pid } = this.#child;
    if (this.#isGone || pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      this.#child.kill('SIGKILL');
    }
  }

  // -------------------------------------------------------------------------------------------

  #end(ending: TaskOutcome): void {
    if (this.#running === null || this.#running.ending !== null) return;
    this.#running.ending = ending;
    this.close();
  }

  #heard(message: FromTaskProcess): void {
    const running = this.#running;
    switch (message.type) {
      case 'ready':
        this.#isReady = true;
        this.#options.onReady(message.tasks);
        break;
      case 'broken':
        this.#options.onReady(new Error(message.message));
        this.close();
        break;
      case 'checkpoint':
        void running?.events.checkpoint(message.json).then(
          () => this.#tellCheckpoint(message.n, null),
          (cause: unknown) => this.#tellCheckpoint(message.n, asBalsaError(cause)),
        );
        break;
      default:
        this.#settle(running?.ending ?? message);
        // It has heard that it is to end, and has cleaned up: nothing is left to wait for.
        if (this.#isClosing) this.kill();
    }
  }

  #tellCheckpoint(n: number, error: BalsaError | null): void {
    // It may be gone by then.
    if (this.#isGone) return;
    const why = error && { code: error.code, message: error.message };
    const message: ToTaskProcess = { type: 'checkpointed', n, error: why };
    this.#child.send(message, () => {});
  }

  #settle(outcome: TaskOutcome): void {
    const running = this.#running;
    this.#running = null;
    running?.timer?.cancel();
    this.#memoryTimer?.cancel();
    running?.resolve(outcome);
  }

  #gone(why: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#killTimer?.cancel();
    if (!this.#isReady) this.#options.onReady(new Error(why));
    this.#settle(this.#running?.ending ?? { type: 'crashed', message: why });
    this.#options.onExit();
  }

  #watchMemory(memoryBytesMax: number): void {
    this.#memoryTimer = this.#options.clock.setTimer(MEMORY_MS, () => {
      const bytes = residentBytes(this.pid);
      if (bytes <= memoryBytesMax) {
        if (this.#running !== null) this.#watchMemory(memoryBytesMax);
        return;
      }
      const message = `it took ${bytes} bytes of memory; it declared ${memoryBytesMax} (memoryBytes)`;
      if (this.#running !== null) this.#running.ending ??= { type: 'crashed', message };
      this.kill();
    });
  }
}

function failed(message: string): TaskOutcome {
  return { type: 'failed', code: 'TIMEOUT', message };
}

/** 0 where the system does not say. */
function residentBytes(pid: number | undefined): number {
  try {
    const [, pages = '0'] = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ');
    return Number(pages) * PAGE_BYTES;
  } catch {
    return 0;
  }
}
