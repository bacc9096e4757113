import { countWhile } from '../../src/base/binary-search.js';
import type { LogIndex } from '../../src/raft/types.js';
import type { AnswerMeta } from '../../src/rpc/protocol.js';
import type { Replica } from '../../src/server/replica.js';
import type { Coverage } from './coverage.js';
import { type Scheduler, Violation } from './scheduler.js';

/** One replica of one life, as far as others can tell. */
interface Watched {
  readonly name: string;
  /** When its process last took in a message of another member. */
  heardMs: number;
  /** When the latest of its linearizable reads began that were served. */
  confirmedMs: number;
  /** It needs nobody else to decide. */
  readonly isAlone: () => boolean;
}

/** How far a clock that runs too fast or too slow, by at most a tenth, may be off. */
const FASTEST = 1.1;
const SLOWEST = 0.9;

/**
 * Knows by the true clock when each entry was applied first, anywhere. What replicas say of their
 * freshness is compared with that, at the very moment when they say it.
 */
export class FreshnessOracle {
  readonly #scheduler: Scheduler;
  readonly #coverage: Coverage;
  readonly #electionMs: number;
  readonly #leaseMs: number;
  /** When the highest index so far was applied, and which it is; both grow. */
  readonly #times: number[] = [];
  readonly #indexes: LogIndex[] = [];

  constructor(options: {
    scheduler: Scheduler;
    coverage: Coverage;
    electionMs: number;
    leaseMs: number;
  }) {
    this.#scheduler = options.scheduler;
    this.#coverage = options.coverage;
    this.#electionMs = options.electionMs;
    this.#leaseMs = options.leaseMs;
  }

  applied(index: LogIndex): void {
    if (index <= (this.#indexes.at(-1) ?? 0)) return;
    this.#indexes.push(index);
    this.#times.push(this.#scheduler.nowMs);
  }

  /** The highest index that had been applied anywhere before this moment. */
  indexBefore(ms: number): LogIndex {
    return this.#indexes[countWhile(this.#times, (time) => time < ms) - 1] ?? 0;
  }

  /** Looks at all that this replica says from now on. Call `heard` for each message that it takes in. */
  watch(replica: Replica, name: string, isAlone: () => boolean): { heard: () => void } {
    const never = Number.NEGATIVE_INFINITY;
    const watched: Watched = { name, heardMs: never, confirmedMs: never, isAlone };
    const meta = replica.meta.bind(replica);
    replica.meta = (boundMs) => {
      const answer = meta(boundMs);
      this.#check(watched, answer);
      return answer;
    };
    const read = replica.read.bind(replica);
    replica.read = (level, done) => {
      const beginMs = this.#scheduler.nowMs;
      read(level, (error) => {
        if (error === null && level.consistency === 'linearizable') {
          watched.confirmedMs = Math.max(watched.confirmedMs, beginMs);
        }
        done(error);
      });
    };
    return {
      heard: () => {
        watched.heardMs = this.#scheduler.nowMs;
      },
    };
  }

  #check(watched: Watched, { appliedIndex, stalenessMs, side }: AnswerMeta): void {
    const { nowMs } = this.#scheduler;
    this.#coverage.count(`meta: side ${side}`);
    this.#coverage.count(`meta: staleness ${stalenessMs === null ? 'unknown' : 'known'}`);
    const needed = stalenessMs === null ? 0 : this.indexBefore(nowMs - stalenessMs);
    if (appliedIndex < needed) {
      const said = `said that its state is at most ${stalenessMs} ms old`;
      const truth = `entry ${needed} had been applied before that, and it has ${appliedIndex}`;
      throw this.#violation(`Freshness: ${watched.name} ${said}: ${truth}`);
    }
    if (side === 'majority') this.#checkMajority(watched, nowMs);
    else if (side === 'isolated') this.#checkIsolated(watched, nowMs);
  }

  #checkMajority(watched: Watched, nowMs: number): void {
    if (watched.isAlone()) return;
    // With a lease a leader counts itself confirmed for a while after it was.
    const window = (this.#electionMs + this.#leaseMs) / SLOWEST;
    if (nowMs - watched.heardMs <= window) return;
    const silence = (nowMs - watched.heardMs).toFixed(0);
    throw this.#violation(
      `Side: ${watched.name} said majority, and had heard nobody for ${silence} ms`,
    );
  }

  #checkIsolated(watched: Watched, nowMs: number): void {
    if (nowMs - watched.confirmedMs >= this.#electionMs / FASTEST) return;
    throw this.#violation(
      `Side: ${watched.name} said isolated, and had served a linearizable read that began at ${watched.confirmedMs.toFixed(0)} ms`,
    );
  }

  /** What is thrown inside a replica ends that replica only. */
  #violation(text: string): Violation {
    const violation = new Violation(`${text} (at ${this.#scheduler.nowMs.toFixed(0)} ms)`);
    this.#scheduler.fail(violation);
    return violation;
  }
}
