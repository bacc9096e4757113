import type { Clock } from '../base/clock.js';
import { EXTENDED_COMMANDS } from '../base/command-versions.js';
import type { Limits } from '../base/limits.js';
import type { StateMachine } from '../statemachine/state-machine.js';
import type { DurableStateStore } from '../storage/snapshot.js';
import { Housekeeping } from './housekeeping.js';
import { LogClock } from './log-clock.js';
import type { Proposals } from './proposals.js';
import { Reclaim } from './reclaim.js';
import type { StoreFacts } from './store-requests.js';

export interface DutiesOptions {
  readonly clock: Clock;
  readonly limits: Limits;
  /** See `ProposalsOptions`. */
  readonly commandVersion: () => number;
  readonly machine: () => StateMachine;
  readonly store: () => DurableStateStore;
  readonly proposals: () => Proposals;
  /** Proposals wait to be taken. */
  readonly planTurn: () => void;
  readonly onFailure: (error: unknown) => void;
}

/** What a replica does for the store as time passes: it keeps log time, tidies up as the leader, and gives space back. */
export class Duties {
  readonly #options: DutiesOptions;
  readonly #logClock: LogClock;
  readonly #housekeeping: Housekeeping;
  readonly #reclaim: Reclaim;
  #leads = false;

  constructor(options: DutiesOptions) {
    this.#options = options;
    const { clock, limits, commandVersion, machine, store, proposals, planTurn, onFailure } =
      options;
    this.#logClock = new LogClock(clock);
    this.#housekeeping = new Housekeeping({
      ...{ clock, limits, machine, onFailure },
      canPropose: () => this.#leads && commandVersion() >= EXTENDED_COMMANDS,
      logTimeMs: () => this.#logClock.nowMs,
      propose: (operations, done) => {
        proposals().addSystem(operations, done);
        planTurn();
      },
    });
    this.#reclaim = new Reclaim({ clock, store, onFailure, info: () => machine().info() });
  }

  /** What commands are stamped with; `null`: not known yet. */
  get logTimeMs(): number | null {
    return this.#logClock.nowMs;
  }

  get storeFacts(): StoreFacts {
    const machine = this.#options.machine();
    return { machine, logTimeMs: Math.max(machine.logTimeMs, this.#logClock.nowMs ?? 0) };
  }

  tick(): void {
    this.#housekeeping.tick();
    this.#reclaim.consider(this.#options.machine());
  }

  roleChanged(leads: boolean): void {
    if (leads === this.#leads) return;
    this.#leads = leads;
    if (leads) this.#logClock.lead(this.#options.machine().logTimeMs);
    else this.#logClock.follow();
  }

  /** An entry was applied. `isOfOwnTerm`: so were all that were in the log when this term began. */
  applied(isOfOwnTerm: boolean): void {
    this.#logClock.applied(this.#options.machine().logTimeMs);
    if (!isOfOwnTerm || this.#logClock.nowMs !== null) return;
    this.#logClock.settled();
    this.#options.planTurn();
  }

  stop(): void {
    this.#housekeeping.stop();
    this.#reclaim.stop();
  }
}
