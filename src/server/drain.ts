import type { Clock } from '../base/clock.js';
import type { Replica } from './replica.js';

/** How long a leader that is about to stop looks for another one, and waits for one that is about to take over: it may have much to apply. */
const HAND_OVER_MS = 2000;
const TAKE_OVER_MS = 8000;
/** How long a stopping replica waits for writes that are in the log, for copies of what it has acknowledged alone, and to give back tasks. */
const DRAIN_MS = 3000;
const LOOK_MS = 5;

export interface DrainHost {
  readonly clock: Clock;
  /** It has failed: there is nothing to wait for. */
  readonly hasFailed: () => boolean;
  /** Another member is connected. */
  readonly isReached: () => boolean;
}

type Drained = Pick<Replica, 'leader' | 'transfer' | 'refuseWrites' | 'isDrained'> & {
  readonly node: Pick<Replica['node'], 'role' | 'configuration'>;
};

/**
 * The end of a replica in order. A leader hands over first, so that nobody waits for what comes next. Then new writes are refused;
 * those in the log are answered first, and others get what `ap` calls have left here, and tasks.
 */
export async function drain(replica: Drained, host: DrainHost): Promise<void> {
  const { clock, hasFailed, isReached } = host;
  const lookedForMs = clock.monotonicMs() + HAND_OVER_MS;
  const handOver = new HandOver(replica);
  // All others may be stopping as well.
  await until(clock, TAKE_OVER_MS, () => {
    handOver.goOn();
    const isInVain = clock.monotonicMs() >= lookedForMs && !handOver.isUnderWay;
    return handOver.isOver || isInVain || hasFailed() || !isReached();
  });
  replica.refuseWrites();
  // Leadership may come back, say because this member has the higher priority.
  await until(clock, DRAIN_MS, () => {
    handOver.goOn();
    return replica.isDrained || hasFailed();
  });
}

class HandOver {
  readonly #replica: Drained;
  readonly #isLeader: boolean;
  #isUnderWay = false;
  #hasFailed = false;

  constructor(replica: Drained) {
    this.#replica = replica;
    this.#isLeader = replica.node.role === 'leader';
  }

  /** Somebody was asked to take over. */
  get isUnderWay(): boolean {
    return this.#isUnderWay;
  }

  /** Another member leads, or it will not come to that. */
  get isOver(): boolean {
    const { node, leader } = this.#replica;
    if (node.role !== 'leader') return !this.#isLeader || leader !== null;
    return this.#hasFailed || node.configuration.voters.length === 1;
  }

  /** Asks for it when it is due. */
  goOn(): void {
    const isLeader = this.#replica.node.role === 'leader';
    if (isLeader && !this.isOver && !this.#isUnderWay) this.#ask();
  }

  #ask(): void {
    this.#isUnderWay = true;
    this.#replica.transfer(null, (error) => {
      this.#isUnderWay = false;
      // Another one may be better off, or a new leader has yet to hear from others. Who had the time in vain is not asked again: nothing
      // gets into the log meanwhile.
      this.#hasFailed = error !== null && error.details.reason === 'timeout';
    });
  }
}

async function until(clock: Clock, ms: number, done: () => boolean): Promise<void> {
  const deadlineMs = clock.monotonicMs() + ms;
  while (!done() && clock.monotonicMs() < deadlineMs) {
    await new Promise<void>((resolve) => clock.setTimer(LOOK_MS, resolve));
  }
}
