import { ApWorkload } from './ap-workload.js';
import { BankWorkload } from './bank-workload.js';
import { CallsWorkload } from './calls-workload.js';
import { FollowUpWorkload } from './follow-up-workload.js';
import { JobsWorkload } from './jobs-workload.js';
import { LockWorkload } from './lock-workload.js';
import { StoreWorkload } from './store-workload.js';
import type { World } from './world.js';

/** All that goes on beside the main workload, each with keys of its own. */
export class SideWorkloads {
  readonly #store: StoreWorkload;
  readonly #locks: LockWorkload | null;
  readonly #bank: BankWorkload | null;
  readonly #calls: CallsWorkload | null;
  readonly #ap: ApWorkload | null;
  readonly #followUps: FollowUpWorkload | null;
  readonly #jobs: JobsWorkload | null;
  readonly #all: readonly (
    | StoreWorkload
    | LockWorkload
    | BankWorkload
    | CallsWorkload
    | ApWorkload
    | FollowUpWorkload
    | JobsWorkload
  )[];

  constructor(world: World) {
    const { locks, bank, calls, ap, followUps, jobs } = world.options;
    this.#jobs = jobs === undefined ? null : new JobsWorkload(world, jobs);
    this.#followUps = followUps === undefined ? null : new FollowUpWorkload(world, followUps);
    this.#ap = ap === undefined ? null : new ApWorkload(world, ap);
    this.#store = new StoreWorkload(world);
    this.#locks = locks === true ? new LockWorkload(world) : null;
    this.#bank = bank === true ? new BankWorkload(world) : null;
    const { calls: observer } = world;
    this.#calls =
      calls === undefined || observer === null ? null : new CallsWorkload(world, calls, observer);
    this.#all = [
      this.#store,
      ...(this.#locks === null ? [] : [this.#locks]),
      ...(this.#bank === null ? [] : [this.#bank]),
      ...(this.#calls === null ? [] : [this.#calls]),
      ...(this.#ap === null ? [] : [this.#ap]),
      ...(this.#followUps === null ? [] : [this.#followUps]),
      ...(this.#jobs === null ? [] : [this.#jobs]),
    ];
  }

  /** Nothing is under way any more. */
  get isIdle(): boolean {
    return this.#all.every(({ isIdle }) => isIdle);
  }

  /** Nothing is under way, and no lease is left. */
  get isGone(): boolean {
    return this.isIdle && this.#store.isGone;
  }

  /** So long after they were stopped, and the cluster serves, that is so. */
  get goneMs(): number {
    return this.#store.goneMs + (this.#locks?.goneMs ?? 0);
  }

  /** What is waited for, if it can be told. */
  get lacking(): string {
    return this.#followUps?.lacking ?? this.#jobs?.lacking ?? '';
  }

  start(): void {
    for (const side of this.#all) side.start();
  }

  /** Something happens to the cluster. */
  hurry(): void {
    this.#calls?.hurry();
    this.#jobs?.hurry();
  }

  stop(): void {
    for (const side of this.#all) side.stop();
  }

  async close(): Promise<void> {
    for (const side of this.#all) await side.close();
  }

  /** @throws Violation */
  check(): void {
    this.#store.checkGone();
    this.#locks?.check();
  }

  /** When nothing is under way any more, and all replicas hold the same. @throws Violation */
  checkAtEnd(): void {
    this.#bank?.check();
    this.#calls?.check();
    this.#ap?.check();
    this.#followUps?.check();
    this.#jobs?.check();
  }
}
