import { JOB_COMMANDS } from '../../src/base/command-versions.js';
import type { JobSpec, JobStep, StageSpec, TaskEnd } from '../../src/base/job.js';
import type { WriteOperation, WriteResult } from '../../src/base/operation.js';
import type { Job } from '../../src/statemachine/jobs/job.js';
import type { StateMachineOptions } from '../../src/statemachine/state-machine.js';
import { Replica } from './replica.js';

/** A stage for tests, which workers of users run unless the fields say otherwise. */
export function stage(name: string, fields: Partial<StageSpec> = {}): StageSpec {
  return {
    ...{ name, kind: 'map', after: [0], fanIn: 1, where: 'worker', run: name, labels: [] },
    ...{ memoryBytes: 0, retries: 2, lostRetries: 5, poisonAfter: 3, timeoutMs: 0 },
    speculates: true,
    ...fields,
  };
}

export function spec(stages: readonly StageSpec[], fields: Partial<JobSpec> = {}): JobSpec {
  return {
    ...{ name: 'test', args: 'null', priority: 0, weight: 1, retentionMs: 1000, stages },
    input: { type: 'list', items: ['1', '2', '3', '4', '5'] },
    ...fields,
  };
}

export const json = (value: unknown): TaskEnd => ({
  ...{ type: 'result', call: null },
  value: { type: 'json', json: JSON.stringify(value) },
});

/** A state machine, and a leader and workers by hand. */
export class JobWorld {
  readonly replica: Replica;
  timeMs = 1000;

  private constructor(replica: Replica) {
    this.replica = replica;
  }

  static async start(options: StateMachineOptions = {}, replica?: Replica): Promise<JobWorld> {
    return new JobWorld(replica ?? (await Replica.start(options)));
  }

  get jobs() {
    return this.replica.machine.jobs;
  }

  job(id = 'j'): Job {
    const job = this.jobs.get(id);
    if (job === null) throw new Error(`no job ${id}`);
    return job;
  }

  async step(...jobs: JobStep[]): Promise<void> {
    await this.replica.run({ timeMs: this.timeMs, jobs }, JOB_COMMANDS);
  }

  async do(operation: WriteOperation): Promise<WriteResult> {
    const [result] = await this.replica.doAt(this.timeMs, operation);
    if (result === undefined) throw new Error('no result');
    return result;
  }

  async submit(stages: readonly StageSpec[], fields: Partial<JobSpec> = {}, id = 'j') {
    return this.do({ type: 'job-submit', job: id, spec: spec(stages, fields) });
  }

  /** @returns fences of those that were granted */
  async claim(
    worker: string,
    tasks: readonly (readonly [stage: number, ordinal: number])[],
    { id = 'j', speculative = false, home = worker } = {},
  ): Promise<number[]> {
    const before = new Set(this.#fencesOf(worker));
    const claims = tasks.map(([stageNo, ordinal]) => ({
      ...{ job: id, stage: stageNo, ordinal, speculative },
    }));
    await this.step({ type: 'claims', worker, home, leaseMs: 1000, tasks: claims });
    return this.#fencesOf(worker).filter((fence) => !before.has(fence));
  }

  #fencesOf(worker: string): number[] {
    return [...(this.jobs.worker(worker)?.fences ?? [])].sort((a, b) => a - b);
  }

  end(fence: number | undefined, end: TaskEnd): Promise<void> {
    return this.step({ type: 'end', fence: fence ?? 0, end });
  }

  /** Claims one task and ends it. */
  async run(worker: string, stageNo: number, ordinal: number, end: TaskEnd): Promise<void> {
    const [fence] = await this.claim(worker, [[stageNo, ordinal]]);
    await this.end(fence, end);
  }

  /** JSON of a result. */
  value(stageNo: number, ordinal: number, id = 'j'): string | null {
    const value = this.jobs.value({ job: id, stage: stageNo, ordinal });
    return value?.type === 'json' ? value.json : null;
  }

  /** What may be claimed now: `stage/ordinal`. */
  claimable(id = 'j'): string[] {
    return this.job(id)
      .claimable(this.timeMs, 100)
      .map(({ stage: stageNo, ordinal }) => `${stageNo}/${ordinal}`);
  }
}
