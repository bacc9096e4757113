import { BalsaError } from '../base/errors.js';
import type { JobAction } from '../base/job.js';
import type { JobDefinition, JobInput } from '../base/job-definition.js';
import type { JobInfo, JobsStats, ResultsInfo } from '../rpc/job-protocol.js';
import { checkDuration } from './invalid.js';
import { checkJobForm } from './job-form.js';
import { askJobs, type JobsAsker, readValues } from './job-request.js';
import { toInput, toSpec } from './job-spec.js';
import type { CallOptions } from './options.js';
import { pause } from './pause.js';
import type { Scope } from './scope.js';

/** Options of {@link Client.submit}. */
export interface SubmitOptions extends CallOptions {
  /** Its id: letters, digits, `.`, `_` and `-`. Default: one that nobody else has. */
  readonly id?: string | undefined;
  /** Takes the place of that of the definition. */
  readonly input?: JobInput | undefined;
}

/** Options of waiting for a job: there is no time limit unless one is given. */
export interface WaitOptions extends CallOptions {
  /** How often it is looked, in milliseconds. Default: from 50 on, more and more rarely, up to 400. */
  readonly intervalMs?: number | undefined;
}

const NO_OPTIONS = {};
const INTERVAL_MS_MIN = 50;
const INTERVAL_MS_MAX = 400;
/** Chunks of an upload on their way. */
const UPLOADS_AT_ONCE = 4;

type Store = Scope<never, unknown, 'text' | 'bytes'>;

export interface JobsParts extends JobsAsker {
  readonly store: Store;
}

/** The jobs of the cluster, whoever has submitted them. `db.jobs`. */
export class Jobs {
  /** @internal */
  readonly parts: JobsParts;

  /** @internal */
  constructor(parts: JobsParts) {
    this.parts = parts;
  }

  /** See {@link Client.submit}. @internal */
  async submit(
    definition: JobDefinition,
    args: unknown,
    options: SubmitOptions,
  ): Promise<JobHandle> {
    const { store } = this.parts;
    const newId = (): string => Buffer.from(store.engine.env.newSessionId()).toString('hex');
    checkJobForm(definition);
    const { id = newId(), input = definition.input } = options;
    const upload = newId();
    const prepared = toInput(input, upload);
    const spec = toSpec(definition, args, prepared.input);
    await uploadChunks(store, upload, prepared.chunks, options);
    await store.write(
      options,
      'done',
      () => ({ type: 'job-submit', job: id, spec }),
      () => null,
    );
    return this.get(id);
  }

  /** The job of that id, without looking whether there is one. */
  get(id: string): JobHandle {
    return new JobHandle(id, this.parts);
  }

  /** Those that there are, the latest first; also those that have ended and are still kept. @throws BalsaError see {@link Client} */
  async list(options: CallOptions = NO_OPTIONS): Promise<readonly JobInfo[]> {
    const { info } = await askJobs(this.parts, { about: 'list' }, options);
    return JSON.parse(info) as JobInfo[];
  }

  /** Tasks that wait, and how busy workers are. @throws BalsaError see {@link Client} */
  async stats(options: CallOptions = NO_OPTIONS): Promise<JobsStats> {
    const { info } = await askJobs(this.parts, { about: 'stats' }, options);
    return JSON.parse(info) as JobsStats;
  }
}

/** One job, by its id. */
export class JobHandle {
  readonly id: string;
  readonly #parts: JobsParts;

  /** @internal */
  constructor(id: string, parts: JobsParts) {
    this.id = id;
    this.#parts = parts;
  }

  /** How it is now. @throws BalsaError `JOB_NOT_FOUND`, and see {@link Client} */
  async status(options: CallOptions = NO_OPTIONS): Promise<JobInfo> {
    const { info } = await askJobs(this.#parts, { about: 'status', job: this.id }, options);
    return JSON.parse(info) as JobInfo;
  }

  /**
   * How it is, whenever that has changed, until it has ended. What cannot be reached meanwhile is tried again.
   *
   * @throws BalsaError (from the iteration) `JOB_NOT_FOUND`, `CANCELLED`, `TIMEOUT`, and see {@link Client}
   */
  async *progress(options: WaitOptions = NO_OPTIONS): AsyncGenerator<JobInfo, void, undefined> {
    const { clock } = this.#parts.engine.env;
    const { timeoutMs = 0, signal, intervalMs } = options;
    checkDuration('timeoutMs', timeoutMs);
    if (intervalMs !== undefined) checkDuration('intervalMs', intervalMs);
    const untilMs = timeoutMs === 0 ? Number.POSITIVE_INFINITY : clock.monotonicMs() + timeoutMs;
    let pauseMs = intervalMs ?? INTERVAL_MS_MIN;
    let before = '';
    for (;;) {
      const info = await this.#look(signal, untilMs);
      if (info !== null) {
        const { nowMs: _, ...rest } = info;
        const shown = JSON.stringify(rest);
        if (shown !== before) yield info;
        if (info.phase !== 'running') return;
        before = shown;
      }
      const leftMs = untilMs - clock.monotonicMs();
      if (leftMs <= 0) {
        throw new BalsaError('TIMEOUT', `job ${this.id} has not ended in time; it goes on`);
      }
      await pause(this.#parts.engine, Math.min(pauseMs, leftMs), signal);
      pauseMs = intervalMs ?? Math.min(INTERVAL_MS_MAX, pauseMs * 1.3);
    }
  }

  /** `null`: it could not be asked just now. */
  async #look(signal: AbortSignal | undefined, untilMs: number): Promise<JobInfo | null> {
    const { clock } = this.#parts.engine.env;
    const leftMs = Math.max(1, untilMs - clock.monotonicMs());
    const { timeoutMs } = this.#parts.engine.settings;
    try {
      return await this.status({ signal, timeoutMs: Math.min(timeoutMs || leftMs, leftMs) });
    } catch (cause) {
      if (cause instanceof BalsaError && cause.retryable) return null;
      throw cause;
    }
  }

  /** Waits until it has ended. @returns how it was then @throws BalsaError as {@link JobHandle.progress} */
  async wait(options: WaitOptions = NO_OPTIONS): Promise<JobInfo> {
    let last: JobInfo | null = null;
    for await (const info of this.progress(options)) last = info;
    return last ?? this.status(options);
  }

  /**
   * Waits until it has ended, and gives what it came to: of a job whose last stage is a `reduce` the one value, of others the list
   * of all results of its last stages. What is too long for the memory of one process: {@link JobHandle.results}.
   *
   * @throws BalsaError `JOB_FAILED` (`details` say which task, and why), `JOB_CANCELLED`, and as {@link JobHandle.progress}
   */
  async result<Result = unknown>(options: WaitOptions = NO_OPTIONS): Promise<Result> {
    throwUnlessSucceeded(await this.wait(options));
    const all: unknown[] = [];
    let isSingle = false;
    for (let count = 1; all.length < count; ) {
      const page = await this.#page(all.length, options);
      count = page.count;
      isSingle = page.isSingle;
      for (const value of page.values) all.push(value);
    }
    return (isSingle ? all[0] : all) as Result;
  }

  /** As {@link JobHandle.result}, one after the other. @throws BalsaError (from the iteration) as {@link JobHandle.result} */
  async *results<Result = unknown>(
    options: WaitOptions = NO_OPTIONS,
  ): AsyncGenerator<Result, void, undefined> {
    throwUnlessSucceeded(await this.wait(options));
    for (let from = 0, count = 1; from < count; ) {
      const page = await this.#page(from, options);
      count = page.count;
      from += page.values.length;
      yield* page.values as Result[];
    }
  }

  async #page(from: number, { signal }: WaitOptions) {
    const query = { about: 'results', job: this.id, from } as const;
    const { info, bytes } = await askJobs(this.#parts, query, { signal });
    const { count, isSingle, values } = JSON.parse(info) as ResultsInfo;
    return { count, isSingle, values: await readValues(this.#parts, values, bytes, { signal }) };
  }

  /** Ends it: from the moment at which this is answered nothing of it has an effect. @throws BalsaError `JOB_NOT_FOUND`, `JOB_STATE` (it has ended), and see {@link Client} */
  cancel(options: CallOptions = NO_OPTIONS): Promise<void> {
    return this.#control('cancel', options);
  }

  /** Goes on with one that has failed: what is done stays. @throws BalsaError `JOB_NOT_FOUND`, `JOB_STATE` (it has not failed), and see {@link Client} */
  retry(options: CallOptions = NO_OPTIONS): Promise<void> {
    return this.#control('retry', options);
  }

  /** Forgets one that has ended, with its results. @throws BalsaError `JOB_NOT_FOUND`, `JOB_STATE` (it is under way), and see {@link Client} */
  remove(options: CallOptions = NO_OPTIONS): Promise<void> {
    return this.#control('remove', options);
  }

  async #control(action: JobAction, options: CallOptions): Promise<void> {
    await this.#parts.store.write(
      options,
      'done',
      () => ({ type: 'job-control', job: this.id, action }),
      () => null,
    );
  }
}

/** Brings chunks, a few at a time; they are applied in their order. */
export async function uploadChunks(
  store: Store,
  upload: string,
  chunks: readonly Uint8Array[],
  options: CallOptions,
): Promise<void> {
  for (let from = 0; from < chunks.length; from += UPLOADS_AT_ONCE) {
    const some = chunks.slice(from, from + UPLOADS_AT_ONCE);
    await Promise.all(
      some.map((bytes, i) =>
        store.write(
          options,
          'done',
          () => ({ type: 'job-upload', upload, place: from + i, bytes }),
          () => null,
        ),
      ),
    );
  }
}

function throwUnlessSucceeded({ job, phase, failure }: JobInfo): void {
  if (phase === 'succeeded') return;
  if (phase === 'cancelled') throw new BalsaError('JOB_CANCELLED', `job ${job} was cancelled`);
  if (failure === null) {
    throw new BalsaError('JOB_NOT_FOUND', `job ${job} is being removed`);
  }
  const { code, message, stage, ordinal } = failure;
  throw new BalsaError(
    'JOB_FAILED',
    `job ${job} has failed at task ${ordinal} of stage ${stage}: ${code}: ${message}`,
    { details: { job, ...failure } },
  );
}
