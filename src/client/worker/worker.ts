import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { BalsaError } from '../../base/errors.js';
import { HOME_LENGTH_MAX, isLabel, LABEL_LENGTH_MAX, SLOTS_MAX } from '../../base/job.js';
import { checkDuration, invalid } from '../invalid.js';
import type { JobsParts } from '../jobs.js';
import { WorkerLoop, type WorkerNotice } from '../worker-loop.js';
import { ProcessHost } from './process-host.js';

/** Options of {@link Client.worker}. */
export interface WorkerOptions {
  /** A module of JavaScript, by its path or URL: each function that it exports is a task of that name. See {@link WorkerTaskContext}. */
  readonly tasks: string | URL;
  /** Tasks at one time, each in a process of its own. Default 1. */
  readonly slots?: number | undefined;
  /** What stages may ask for, each of 1 to 100 characters: `gpu`, `ffmpeg`. */
  readonly labels?: readonly string[] | undefined;
  /** For all tasks together: those that say what they need get no more. In whole bytes. Default: it is not bounded. */
  readonly memoryBytes?: number | undefined;
  /** Where it is: when workers at several places are lost at one task it is run no more. Default: the name of the host. */
  readonly home?: string | undefined;
  /** How long a task that is told to end is waited for before its process is killed, in milliseconds. Default 5000. */
  readonly graceMs?: number | undefined;
  /** For the processes of its tasks. Default: that of this one. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly onNotice?: ((notice: WorkerNotice) => void) | undefined;
}

const GRACE_MS = 5000;

/** A worker that runs tasks of jobs, made by {@link Client.worker}. It lives as long as this process, and its client. */
export class Worker implements AsyncDisposable {
  readonly id: string;
  /** What its module has. */
  readonly tasks: readonly string[];
  readonly #loop: WorkerLoop;
  readonly #host: ProcessHost;
  /** Resolves when it is drained, closed, or cannot go on: with why, if something was wrong. */
  readonly ended: Promise<BalsaError | null>;
  readonly #end: (error: BalsaError | null) => void;

  private constructor(parts: {
    readonly id: string;
    readonly tasks: readonly string[];
    readonly loop: WorkerLoop;
    readonly host: ProcessHost;
    readonly ended: Promise<BalsaError | null>;
    readonly end: (error: BalsaError | null) => void;
  }) {
    this.id = parts.id;
    this.tasks = parts.tasks;
    this.#loop = parts.loop;
    this.#host = parts.host;
    this.ended = parts.ended;
    this.#end = parts.end;
  }

  /** @internal */
  static async start(parts: JobsParts, options: WorkerOptions): Promise<Worker> {
    const { slots = 1, labels = [], memoryBytes = 0, home = hostname(), onNotice } = options;
    const { graceMs = GRACE_MS, env = process.env } = options;
    checkOptions({ slots, labels, memoryBytes, home, graceMs });
    const { clock, newSessionId } = parts.engine.env;
    const host = new ProcessHost({ clock, module: urlOf(options.tasks), slots, graceMs, env });
    const tasks = await host.tasks();
    if (tasks.length === 0) {
      host.close();
      throw new BalsaError('FILE_INVALID', `${options.tasks} exports no function: it has no task`);
    }
    const id = `w-${Buffer.from(newSessionId()).toString('hex').slice(0, 12)}`;
    let end: (error: BalsaError | null) => void = () => {};
    const ended = new Promise<BalsaError | null>((resolve) => {
      end = resolve;
    });
    const loop = new WorkerLoop({
      ...{ parts, host, onNotice },
      demand: {
        ...{ worker: id, home, where: 'worker', slots, threads: slots },
        ...{ tasks, labels, memoryBytes },
      },
      onFailure: (error) => end(error),
    });
    loop.start();
    return new Worker({ id, tasks, loop, host, end, ended: ended.finally(() => host.close()) });
  }

  /** Tasks that it has. */
  get active(): number {
    return this.#loop.active;
  }

  /** Processes of its tasks. */
  get pids(): readonly number[] {
    return this.#host.pids;
  }

  /** It takes nothing more, gives back what it has not begun, and resolves when all that it has is done and reported. */
  async drain(): Promise<void> {
    await this.#loop.drain();
    this.#host.close();
    this.#end(null);
  }

  /** At once: its tasks are ended, and others run them when its lease is over. */
  close(): Promise<void> {
    this.#loop.stop();
    this.#host.close();
    this.#end(null);
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

type Checked = Pick<WorkerOptions, 'slots' | 'labels' | 'memoryBytes' | 'home' | 'graceMs'>;

/**
 * What is told to a replica in a form that it does not know costs the connection, with all that is asked over it.
 * @throws BalsaError `INVALID_ARGUMENT`
 */
function checkOptions({ slots, labels, memoryBytes, home, graceMs }: Required<Checked>): void {
  const isWithin = (count: unknown, min: number, max: number): boolean =>
    Number.isInteger(count) && (count as number) >= min && (count as number) <= max;
  if (!isWithin(slots, 1, SLOTS_MAX)) {
    throw invalid(`slots of a worker: 1 to ${SLOTS_MAX}, found ${slots}`);
  }
  if (!Array.isArray(labels) || !labels.every(isLabel)) {
    throw invalid(`labels of a worker: each has 1 to ${LABEL_LENGTH_MAX} characters`);
  }
  if (!isWithin(memoryBytes, 0, Number.MAX_SAFE_INTEGER)) {
    throw invalid(`memoryBytes of a worker: a whole number from 0, found ${memoryBytes}`);
  }
  if (typeof home !== 'string') throw invalid(`home of a worker: a text, found a ${typeof home}`);
  if (home.length > HOME_LENGTH_MAX) {
    throw invalid(`home of a worker: at most ${HOME_LENGTH_MAX} characters, found ${home.length}`);
  }
  checkDuration('graceMs', graceMs);
}

/** @throws BalsaError `INVALID_ARGUMENT` */
function urlOf(module: string | URL): string {
  if (module instanceof URL) return module.href;
  if (typeof module !== 'string') throw invalid('tasks of a worker: the path or URL of a module');
  return module.startsWith('file:') ? module : pathToFileURL(resolve(module)).href;
}
