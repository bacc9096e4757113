import type { JobDefinition } from '../base/job-definition.js';
import { type JobHandle, Jobs, type SubmitOptions } from './jobs.js';
import type { KeyForm } from './options.js';
import type { Coordination } from './queue-place.js';
import type { ReadRouter } from './read-router.js';
import { Scope } from './scope.js';
import { StoreCoordination } from './store-coordination.js';
import { Worker, type WorkerOptions } from './worker/worker.js';

export interface JobsShared extends Coordination {
  readonly reads: ReadRouter;
}

const NO_OPTIONS = {};

/** What {@link Client} has for work that is spread over many. */
export class StoreJobs<In, Out, Keys extends KeyForm> extends StoreCoordination<In, Out, Keys> {
  /** The jobs of the cluster, whoever has submitted them. */
  readonly jobs: Jobs;

  /** @internal */
  constructor(scope: Scope<In, Out, Keys>, shared: JobsShared) {
    super(scope, shared);
    const { engine, codec, keys } = scope;
    const store = new Scope<In, Out, Keys>({ engine, codec, keys, prefix: new Uint8Array(0) });
    this.jobs = new Jobs({ engine, reads: shared.reads, store });
  }

  /**
   * Makes this process a worker: it runs tasks of jobs whose stages have a `task` that the module exports, each in a process of its
   * own, until it is drained or closed. What an attempt gives counts once; what it does outside of the store it may do twice.
   *
   * @throws BalsaError `FILE_INVALID` (the module cannot be loaded, or has no task), `INVALID_ARGUMENT` (an option), and see {@link Client}
   * @example
   * ```ts
   * const worker = await db.worker({ tasks: './tasks.js', slots: 4, labels: ['ffmpeg'] });
   * process.once('SIGTERM', () => worker.drain());
   * ```
   */
  worker(options: WorkerOptions): Promise<Worker> {
    return Worker.start(this.jobs.parts, options);
  }

  /**
   * Submits a job: its tasks are run by the replicas and by workers, also when this process is gone. It is submitted once however
   * often it is tried.
   *
   * @param args what JSON can say, for all tasks
   * @throws BalsaError `JOB_EXISTS`, `JOBS_TOO_MANY`, `JOB_LIMIT`, `PROCEDURE_NOT_FOUND`, `UPGRADE_PENDING`, and see {@link Client}
   * @example
   * ```ts
   * import { job } from 'balsa/procedures';
   *
   * const count = job({
   *   input: { prefix: 'text/', values: 'text' },
   *   stages: { map: { run: 'countWords' }, sum: { kind: 'reduce', run: 'addCounts' } },
   * });
   * const handle = await db.submit(count);
   * for await (const { stages } of handle.progress()) console.log(stages);
   * console.log(await handle.result());
   * ```
   */
  submit(
    definition: JobDefinition,
    args: unknown = null,
    options: SubmitOptions = NO_OPTIONS,
  ): Promise<JobHandle> {
    return this.jobs.submit(definition, args, options);
  }
}
