import type { Clock } from '../../base/clock.js';
import { BalsaError } from '../../base/errors.js';
import type { AssignedTask } from '../../rpc/job-protocol.js';
import type { RunningTask, TaskEvents, TaskHost, TaskOutcome } from '../worker-loop.js';
import { TaskProcess } from './task-process.js';

export interface ProcessHostOptions {
  readonly clock: Clock;
  readonly module: string;
  readonly slots: number;
  readonly graceMs: number;
  readonly env: NodeJS.ProcessEnv;
}

interface Waiting {
  begin(process: TaskProcess): void;
  /** There is no process for it. */
  fail(message: string): void;
}

/** Runs tasks in processes, one in each, as many as there are slots. A process that has done a task well gets the next one. */
export class ProcessHost implements TaskHost {
  readonly #options: ProcessHostOptions;
  readonly #processes = new Set<TaskProcess>();
  #waiting: Waiting[] = [];
  /** What the module has; `null`: not known yet. */
  #tasks: readonly string[] | null = null;
  #onTasks: (tasks: readonly string[] | Error) => void = () => {};
  #isClosed = false;

  constructor(options: ProcessHostOptions) {
    this.#options = options;
  }

  /**
   * The names of the tasks, when the first process has loaded the module.
   * @throws BalsaError `FILE_INVALID`
   */
  tasks(): Promise<readonly string[]> {
    return new Promise((resolve, reject) => {
      this.#onTasks = (tasks) => {
        if (!(tasks instanceof Error)) resolve(tasks);
        else reject(new BalsaError('FILE_INVALID', `${this.#options.module}: ${tasks.message}`));
      };
      this.#start();
    });
  }

  /** Of those that are there, for tests of what happens when one is killed. */
  get pids(): number[] {
    return [...this.#processes].flatMap(({ pid }) => pid ?? []);
  }

  run(task: AssignedTask, input: unknown, events: TaskEvents): RunningTask {
    let process: TaskProcess | null = null;
    let stopped: string | null = null;
    let isEnded = false;
    const ended = new Promise<TaskOutcome>((resolve) => {
      this.#waiting.push({
        begin: (free) => {
          process = free;
          if (stopped === null) void free.run(task, input, events).then(resolve);
          else resolve({ type: 'failed', code: 'CANCELLED', message: stopped });
        },
        fail: (message) => resolve({ type: 'crashed', message }),
      });
    });
    this.#serve();
    return {
      ended: ended.finally(() => {
        isEnded = true;
        this.#serve();
      }),
      stop: (reason) => {
        stopped = reason;
        // The process may have the next one by now.
        if (!isEnded) process?.stop(reason);
      },
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
    for (const process of this.#processes) process.close();
  }

  // -------------------------------------------------------------------------------------------

  #serve(): void {
    for (const process of this.#processes) {
      if (!process.isFree) continue;
      const next = this.#waiting.shift();
      if (next === undefined) return;
      next.begin(process);
    }
    const isRoom = this.#processes.size < this.#options.slots && !this.#isClosed;
    if (this.#waiting.length > 0 && isRoom) this.#start();
  }

  #start(): void {
    const { clock, module, graceMs, env } = this.#options;
    /** Why it never got ready. */
    let why = '';
    const process: TaskProcess = new TaskProcess({
      ...{ clock, module, graceMs, env },
      onReady: (tasks) => {
        if (this.#tasks === null) this.#onTasks(tasks);
        if (!(tasks instanceof Error)) this.#tasks = tasks;
        else if (why === '') why = tasks.message;
        this.#serve();
      },
      onExit: () => {
        this.#processes.delete(process);
        if (!process.isReady) this.#failFirst(why);
        // A module that cannot be loaded (any more) is not tried again and again at full speed.
        if (!this.#isClosed) clock.setTimer(RESTART_MS, () => this.#serve());
      },
    });
    this.#processes.add(process);
  }

  /** Where no process gets ready a task must not wait for ever: here its time is not even counted. */
  #failFirst(why: string): void {
    if ([...this.#processes].some(({ isReady }) => isReady)) return;
    this.#waiting.shift()?.fail(`no process for it could be started: ${why}`);
  }
}

/** Another process is started so long after one has ended, in milliseconds. */
const RESTART_MS = 100;
