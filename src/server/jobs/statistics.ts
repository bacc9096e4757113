import type { Clock } from '../../base/clock.js';
import type { WorkerDemand } from '../../base/job.js';
import type { JobsStats, WorkerInfo } from '../../rpc/job-protocol.js';
import type { StateMachine } from '../../statemachine/state-machine.js';

/** Tasks of one job that are counted. */
const QUEUED_MAX = 10_000;
const SAMPLE_MS = 1000;
/** How much a sample weighs: so that they are forgotten within a minute. */
const SAMPLE_WEIGHT = 1 / 20;

/** How busy workers are, and how many would be: for those who start and stop them. */
export class Statistics {
  readonly #clock: Clock;
  readonly #machine: () => StateMachine;
  readonly #utilisation = new Map<string, number>();
  #sampledMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, machine: () => StateMachine) {
    this.#clock = clock;
    this.#machine = machine;
  }

  sample(workers: readonly WorkerDemand[]): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#sampledMs < SAMPLE_MS) return;
    this.#sampledMs = nowMs;
    const present = new Set(workers.map(({ worker }) => worker));
    for (const worker of this.#utilisation.keys()) {
      if (!present.has(worker)) this.#utilisation.delete(worker);
    }
    for (const demand of workers) {
      const share = Math.min(1, this.#runningOf(demand.worker) / Math.max(1, demand.threads));
      const before = this.#utilisation.get(demand.worker) ?? share;
      this.#utilisation.set(demand.worker, before + SAMPLE_WEIGHT * (share - before));
    }
  }

  stats(workers: readonly WorkerDemand[], nowMs: number): JobsStats {
    const { jobs } = this.#machine();
    const infos = workers.map((demand): WorkerInfo => {
      const { worker, home, where, threads, labels } = demand;
      const running = this.#runningOf(worker);
      const utilisation = Math.round(100 * (this.#utilisation.get(worker) ?? 0)) / 100;
      return { worker, home, where, threads, running, labels, utilisation };
    });
    let queued = 0;
    for (const job of jobs.running) {
      queued += Math.min(QUEUED_MAX, job.claimable(nowMs, QUEUED_MAX).length);
    }
    const running = jobs.attemptCount;
    const threads = infos.reduce((sum, info) => sum + info.threads, 0);
    const perWorker = infos.length === 0 ? 1 : Math.max(1, threads / infos.length);
    const usefulThreads = queued + running;
    return {
      ...{ queued, running, workers: infos, usefulThreads },
      usefulWorkers: Math.ceil(usefulThreads / perWorker),
    };
  }

  #runningOf(worker: string): number {
    return this.#machine().jobs.worker(worker)?.fences.size ?? 0;
  }
}
