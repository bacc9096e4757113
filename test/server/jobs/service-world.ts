import type { Effects } from '../../../src/base/call.js';
import { BalsaError } from '../../../src/base/errors.js';
import type { JobStep, TaskEnd } from '../../../src/base/job.js';
import { unpackJobStep } from '../../../src/base/job-codec.js';
import { LIMITS, type Limits } from '../../../src/base/limits.js';
import { seededRandom } from '../../../src/base/random.js';
import {
  type Executor,
  failedExecution,
  type StoreSource,
} from '../../../src/compute/execution.js';
import type { JobFrame } from '../../../src/rpc/job-frames.js';
import { JobService } from '../../../src/server/jobs/job-service.js';
import { startWithProcedure } from '../../statemachine/call-records.js';
import { JobWorld } from '../../statemachine/job-world.js';

const NONE: Effects = { reads: [], ranges: [], writes: [], updates: [], events: [], cells: [] };

/** Jobs at one replica, `n2`, that leads or tells `n1` what it has; what procedures do is said by the test. */
export class ServiceWorld {
  readonly jobs: JobWorld;
  readonly service: JobService;
  readonly sent: JobFrame[] = [];
  nowMs = 0;
  leads = false;
  /** What each run comes to, and what it does before. */
  ran: {
    result?: string;
    effects?: Partial<Effects>;
    error?: BalsaError;
    isEndless?: boolean;
    body?: (source: StoreSource) => Promise<void> | void;
  } = {};
  /** That were set, and none of them fires by itself. */
  readonly timers: (() => void)[] = [];
  /** Runs that were ended before they had come to anything. */
  aborted = 0;
  /** Says for the task that began last how far it is. */
  checkpoint: (json: string) => void = () => {};
  leaderKnown = true;
  #busy = Promise.resolve();

  /** @param limits of the replica, and of the state where it has the same */
  static async start(limits: Partial<Limits> = {}): Promise<ServiceWorld> {
    const replica = await startWithProcedure(limits);
    return new ServiceWorld(await JobWorld.start({}, replica), { ...LIMITS, ...limits });
  }

  private constructor(jobs: JobWorld, limits: Limits) {
    this.jobs = jobs;
    this.service = new JobService({
      clock: {
        monotonicMs: () => this.nowMs,
        wallMs: () => this.nowMs,
        setTimer: (_delayMs, callback) => {
          this.timers.push(callback);
          return { cancel: () => {} };
        },
        defer: (callback) => void setImmediate(callback),
      },
      ...{ limits, machine: () => jobs.replica.machine, canPropose: () => this.leads },
      nowMs: () => jobs.timeMs,
      propose: (steps: readonly JobStep[], _isPatient, done) => {
        this.#busy = jobs.step(...steps).then(() => {
          done(true);
          this.service.applied();
        });
      },
      ...{ operations: () => 0, loopUse: () => 0, machineUse: () => 0, processors: 2 },
      ...{ id: 'n2.1', name: 'n2', random: seededRandom(1), executor: this.#executor() },
      leader: () => (this.leads ? 'n2.1' : this.leaderKnown ? 'n1.1' : null),
      send: (_to, frame) => this.sent.push(frame),
    });
  }

  #executor(): Executor {
    return {
      run: async (_call, _mode, source, signal) => {
        this.checkpoint = (json) => source.checkpoint?.(json);
        const { result = 'null', effects, error, isEndless = false, body } = this.ran;
        await body?.(source);
        if (isEndless) {
          await new Promise((resolve) => signal?.addEventListener('abort', resolve));
          this.aborted += 1;
          return failedExecution(new BalsaError('CANCELLED', 'ended'));
        }
        if (error !== undefined) return failedExecution(error);
        return { ok: true, logs: [], result, effects: { ...NONE, ...effects } };
      },
      runGroup: () => Promise.reject(new Error('none')),
      close: () => Promise.resolve(),
    };
  }

  /** All that is to be done without a tick is done. */
  async quiet(): Promise<void> {
    for (let i = 0; i < 300; i += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      await this.#busy;
    }
  }

  async tick(ms: number): Promise<void> {
    this.nowMs += ms;
    this.jobs.timeMs += ms;
    this.service.tick();
    await this.quiet();
  }

  /** What the leader was told last of the worker of this replica. */
  demanded(): { readonly worker: string; readonly slots: number } {
    const workers = this.sent.flatMap((one) => (one.type === 'task-demand' ? one.workers : []));
    const last = workers.at(-1);
    if (last === undefined) throw new Error('the leader was told nothing');
    return last;
  }

  /** All that the leader was told of tasks. */
  steps(): JobStep[] {
    return this.sent
      .flatMap((one) => (one.type === 'task-ends' ? one.steps : []))
      .map(unpackJobStep);
  }

  /** Of each frame with ends that was sent. */
  told(): { readonly fence: number; readonly end: TaskEnd }[][] {
    return this.sent.flatMap((frame) =>
      frame.type === 'task-ends' ? [frame.steps.map(unpackJobStep).flatMap(endOf)] : [],
    );
  }
}

function endOf(step: JobStep): { readonly fence: number; readonly end: TaskEnd }[] {
  return step.type === 'end' ? [step] : [];
}
