import { BalsaError } from '../../src/base/errors.js';
import type { JobDefinition, JobInput, StageDefinition } from '../../src/base/job-definition.js';
import type { Job } from '../../src/statemachine/jobs/job.js';
import type { StateMachine } from '../../src/statemachine/state-machine.js';
import type { JobOptions } from './jobs/job-options.js';
import { effectKey, JOB_BUNDLE, logKey, POOL } from './jobs/job-procedures.js';
import { SimulatedWorker } from './jobs/simulated-worker.js';
import { UNAVAILABLE } from './ordinary-errors.js';
import { Violation } from './scheduler.js';
import { SideClient, type TextClient } from './side-client.js';
import type { World } from './world.js';

const ORDINARY = new Set([
  ...UNAVAILABLE,
  ...['CLIENT_CLOSED', 'TXN_CONFLICT', 'PROCEDURE_NOT_FOUND', 'UPGRADE_PENDING'],
  ...['JOB_NOT_FOUND', 'JOB_STATE', 'UPLOAD_INCOMPLETE'],
]);

const POOL_KEYS = 6;
const POOL_SUM = 600;
const JOBS_MAX = 14;
/** Whatever is killed: no job is to fail of it. */
const BUDGET: StageDefinition = { retries: 1000, lostRetries: 1000, poisonAfter: 1000 };

type Kind = 'add' | 'append' | 'pool' | 'resume' | 'generated' | 'double';
/** What jobs do. */
export const JOB_KINDS: readonly Kind[] = [
  'add',
  'append',
  'pool',
  'resume',
  'generated',
  'double',
];

interface Submitted {
  readonly id: string;
  readonly kind: Kind;
  readonly numbers: readonly number[];
  /** `unknown`: nobody knows whether it came into being. */
  fate: 'done' | 'refused' | 'unknown';
  /** What was there of its effects when its cancellation was answered. */
  cancelled: readonly string[] | null;
}

/** Jobs of several kinds: each task's effect is there once, and what a job comes to is what one process would make of it. */
export class JobsWorkload {
  readonly #world: World;
  readonly #options: JobOptions;
  readonly #submitter: SideClient;
  readonly #mover: SideClient;
  readonly #workers: readonly SimulatedWorker[];
  readonly #jobs: Submitted[] = [];
  #isReady = false;
  #isStopped = false;

  constructor(world: World, options: JobOptions) {
    this.#world = world;
    this.#options = options;
    this.#submitter = new SideClient(world, { name: 'submitter', place: 0, seed: 0x10b });
    this.#mover = new SideClient(world, { name: 'mover', place: 1, seed: 0x10c });
    this.#workers = [2, 3].map((place) => new SimulatedWorker(world, place, options.longMs));
  }

  get isIdle(): boolean {
    const isIdle = this.#submitter.isIdle && this.#mover.isIdle;
    return isIdle && this.#machine !== null && this.lacking === '';
  }

  start(): void {
    const { pauseMs } = this.#options;
    this.#submitter.start((db) => this.#submitter.repeat(pauseMs, () => this.#step(db)));
    this.#mover.start((db) => this.#mover.repeat(400, () => this.#move(db)));
    for (const worker of this.#workers) worker.start();
  }

  stop(): void {
    this.#isStopped = true;
    this.#submitter.stop();
    this.#mover.stop();
  }

  /** Something happens to the cluster; then to a worker, too. */
  hurry(): void {
    if (this.#isStopped) return;
    const { random } = this.#submitter;
    const worker = this.#workers[random.int(2 * this.#workers.length)];
    worker?.kill();
  }

  async close(): Promise<void> {
    for (const worker of this.#workers) await worker.close();
    await this.#submitter.close();
    await this.#mover.close();
  }

  /** What is waited for: the first job that has not ended. */
  get lacking(): string {
    const machine = this.#machine;
    for (const job of machine?.jobs.all ?? []) {
      if (job.phase === 'running') return describe(job);
    }
    return '';
  }

  // -------------------------------------------------------------------------------------------

  get #machine(): StateMachine | null {
    return this.#world.intact.find(({ replica }) => replica !== null)?.replica?.machine ?? null;
  }

  async #step(db: TextClient): Promise<void> {
    if (!this.#isReady) {
      this.#isReady = (await this.#submitter.attempt(() => this.#prepare(db))) === true;
    } else if (this.#submitter.random.int(5) === 0) await this.#cancel(db);
    else if (this.#jobs.length < JOBS_MAX) await this.#submit(db);
  }

  async #prepare(db: TextClient): Promise<boolean> {
    await db.procedures.deploy(JOB_BUNDLE);
    return db.transaction(async (tx) => {
      if ((await tx.get(`${POOL}0`)).value !== undefined) return true;
      for (let i = 0; i < POOL_KEYS; i += 1) tx.put(`${POOL}${i}`, String(POOL_SUM / POOL_KEYS));
      return true;
    });
  }

  /** From one key of the pool to another. */
  async #move(db: TextClient): Promise<void> {
    if (!this.#isReady) return;
    const { random } = this.#mover;
    const [from, to] = [random.int(POOL_KEYS), random.int(POOL_KEYS)].map((i) => `${POOL}${i}`);
    if (from === undefined || to === undefined || from === to) return;
    await this.#mover.attempt(() =>
      db.transaction(async (tx) => {
        const [left, right] = [await tx.get(from), await tx.get(to)];
        tx.put(from, String(Number(left.value) - 1));
        tx.put(to, String(Number(right.value) + 1));
      }),
    );
  }

  async #submit(db: TextClient): Promise<void> {
    const { random } = this.#submitter;
    const { coverage } = this.#world;
    const kind = JOB_KINDS[random.int(JOB_KINDS.length)] as Kind;
    const id = `job-${this.#jobs.length}`;
    const n = 1 + random.int(this.#options.tasksMax);
    const numbers = Array.from({ length: n }, (_, i) => (kind === 'generated' ? i : i * 3 + 1));
    const submitted: Submitted = { id, kind, numbers, fate: 'unknown', cancelled: null };
    this.#jobs.push(submitted);
    try {
      await db.submit(definitionOf(kind, numbers), n, { id });
      submitted.fate = 'done';
      coverage.count(`jobs: ${kind} submitted`);
    } catch (error) {
      if (!(error instanceof BalsaError) || !ORDINARY.has(error.code)) throw error;
      if (error.outcome === 'not-applied') submitted.fate = 'refused';
      coverage.count(`jobs: told ${error.code} (${error.outcome ?? 'none'})`);
    }
  }

  async #cancel(db: TextClient): Promise<void> {
    const job = this.#jobs.at(-1);
    if (job === undefined || job.cancelled !== null) return;
    const effects = await this.#submitter.attempt(async () => {
      try {
        await db.jobs.get(job.id).cancel();
      } catch (error) {
        if (error instanceof BalsaError && ORDINARY.has(error.code)) return null;
        throw error;
      }
      // What has had an effect by now is all that may ever have one.
      const found: string[] = [];
      for await (const { key, value } of db.range({ prefix: effectPrefix(job.id) })) {
        found.push(`${key}=${value}`);
      }
      return found;
    });
    if (effects === null) return;
    job.cancelled = effects;
    this.#world.coverage.count('jobs: cancelled');
  }

  // -------------------------------------------------------------------------------------------

  /** When all has ended, and all replicas hold the same. @throws Violation */
  check(): void {
    const machine = this.#machine;
    if (machine === null) return;
    for (const submitted of this.#jobs) {
      const job = machine.jobs.get(submitted.id);
      if (job === null) {
        if (submitted.fate === 'done') throw new Violation(`Jobs: ${submitted.id} is lost`);
        continue;
      }
      if (submitted.fate === 'refused') {
        throw new Violation(`Jobs: ${submitted.id} was refused, and is there`);
      }
      this.#checkJob(machine, job, submitted);
    }
    this.#world.coverage.count('jobs: each effect once');
  }

  #checkJob(machine: StateMachine, job: Job, { kind, numbers, cancelled }: Submitted): void {
    const { id, phase, failure } = job;
    const effects = effectsOf(machine, id, numbers.length);
    const isCounted = kind !== 'pool' && kind !== 'double';
    if (cancelled !== null) {
      if (phase !== 'cancelled') throw new Violation(`Jobs: ${id} was cancelled, and is ${phase}`);
      const now = effects.flatMap((n, i) => (n === 0 ? [] : [`${effectKey(id, i)}=${n}`]));
      if (now.join() !== cancelled.join()) {
        throw new Violation(
          `Jobs: ${id} had effects behind its cancellation: ${now} for ${cancelled}`,
        );
      }
    }
    effects.forEach((n, ordinal) => {
      const isDone = job.isDone(1, ordinal);
      if (isCounted && n !== (isDone ? 1 : 0)) {
        throw new Violation(`Jobs: task ${ordinal} of ${id} counts ${n} times (done: ${isDone})`);
      }
    });
    if (kind === 'append') this.#checkLog(machine, job);
    if (phase === 'cancelled') return;
    if (phase !== 'succeeded') {
      throw new Violation(`Jobs: ${id} is ${phase}: ${failure?.code} ${failure?.message}`);
    }
    this.#checkResult(machine, job, expectedOf(kind, numbers));
  }

  #checkLog(machine: StateMachine, job: Job): void {
    const found = machine.get(Buffer.from(logKey(job.id)), null);
    const log = found === null ? [] : (JSON.parse(Buffer.from(found.value).toString()) as number[]);
    const done = log.filter((ordinal) => job.isDone(1, ordinal));
    const isOnce = new Set(log).size === log.length && done.length === log.length;
    if (!isOnce || log.length !== job.stages[1]?.done.size) {
      throw new Violation(`Jobs: the tasks of ${job.id} that wrote are ${log.join()}`);
    }
  }

  #checkResult(machine: StateMachine, job: Job, expected: number): void {
    const stage = job.stages.length - 1;
    const ordinal = (job.shapes[stage]?.tasks ?? 0) - 1;
    const value = machine.jobs.value({ job: job.id, stage, ordinal });
    const found = value?.type === 'json' ? value.json : 'nothing';
    if (found === String(expected)) return;
    throw new Violation(`Jobs: ${job.id} came to ${found}, and one process comes to ${expected}`);
  }
}

const effectPrefix = (job: string): string => effectKey(job, 0).slice(0, -4);

function effectsOf(machine: StateMachine, job: string, tasks: number): number[] {
  return Array.from({ length: tasks }, (_, ordinal) => {
    const found = machine.get(Buffer.from(effectKey(job, ordinal)), null);
    return found === null ? 0 : Number(Buffer.from(found.value).toString());
  });
}

function definitionOf(kind: Kind, numbers: readonly number[]): JobDefinition {
  const sum: StageDefinition = { kind: 'reduce', run: 'job-sum', fanIn: 3, ...BUDGET };
  const map = (run: string): StageDefinition => ({ run, ...BUDGET });
  const input: JobInput = { list: numbers };
  switch (kind) {
    case 'pool':
      return {
        input: { prefix: POOL, keysPerTask: 2 },
        stages: { map: map('job-pool'), sum },
      };
    case 'generated':
      return { input: { generate: 'job-generate' }, stages: { map: map('job-add'), sum } };
    case 'double': {
      const double = { task: 'double', labels: ['fast'], memoryBytes: 40, ...BUDGET };
      const pairs: StageDefinition = { kind: 'combine', run: 'job-sum', fanIn: 2, ...BUDGET };
      return { input, stages: { double, pairs, sum } };
    }
    default:
      return { input, stages: { map: map(`job-${kind}`), sum } };
  }
}

function expectedOf(kind: Kind, numbers: readonly number[]): number {
  if (kind === 'pool') return POOL_SUM;
  const sum = numbers.reduce((all, n) => all + n, 0);
  return kind === 'double' ? 2 * sum : sum;
}

function describe(job: Job): string {
  const stages = job.stages.map(({ done }, i) => `${done.size}/${job.shapes[i]?.tasks}`);
  const open = [...job.tasks].map(
    ({ stage, ordinal, attempts, notBeforeMs, error }) =>
      `${stage}.${ordinal}:${attempts.map(({ worker }) => worker).join('+') || `idle until ${notBeforeMs} ${error}`}`,
  );
  return `job ${job.id} has not ended: ${stages.join(' ')}; ${open.join(' ')}`;
}
