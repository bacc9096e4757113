import { CatchUps } from './catch-ups.js';
import { isVoter, otherMembers } from './configuration.js';
import { LeaseRounds } from './lease.js';
import { Progress } from './progress.js';
import { isQuorumActive, quorumReached } from './quorum.js';
import { ReadRounds } from './read-index.js';
import type { Transfer } from './transfer.js';
import type { Configuration, LogIndex, MemberId, RaftOptions } from './types.js';

/** All that a member knows only while it leads. Made anew with each term that it leads. */
export class Leadership {
  /** Its first entry, a noop (paper §8): what it must commit before it knows what is committed. */
  readonly firstIndex: LogIndex;
  readonly sinceTick: number;
  readonly reads = new ReadRounds();
  readonly leaseRounds = new LeaseRounds();
  readonly catchUps: CatchUps;
  /** What followers have said of their priority. */
  readonly priorities = new Map<MemberId, number>();
  /** Since when a learner that is to be promoted waits for others. */
  promotionSinceTick: number | null = null;
  /** Leadership is being handed over. */
  transfer: Transfer | null = null;
  /** From here on another may be elected in spite of a lease: there is none in this term any more. */
  timeoutNowSent = false;
  /** Bytes of the entries of this leadership that are not committed. */
  uncommittedBytes = 0;
  heartbeatElapsed = 0;
  heartbeatDue = false;
  /** Ticks since the activity of the quorum was checked. */
  checkElapsed = 0;
  readonly #id: MemberId;
  readonly #limits: RaftOptions['limits'];
  readonly #progress = new Map<MemberId, Progress>();
  /** Members no more, and the tick until which they are still told so. */
  readonly #leaving = new Map<MemberId, number>();
  readonly #electionTicks: number;

  constructor(
    options: RaftOptions,
    start: {
      readonly configuration: Configuration;
      readonly firstIndex: LogIndex;
      readonly tick: number;
    },
  ) {
    this.#id = options.id;
    this.#limits = options.limits;
    this.#electionTicks = options.electionTicks;
    this.firstIndex = start.firstIndex;
    this.sinceTick = start.tick;
    this.catchUps = new CatchUps(options.electionTicks);
    for (const member of otherMembers(start.configuration, options.id)) {
      this.#progress.set(member, new Progress(member, start.firstIndex, options.limits));
    }
  }

  progressOf(member: MemberId): Progress | undefined {
    return this.#progress.get(member);
  }

  /** All that receive the log, also those that learn by it that they are members no more. */
  followers(): IterableIterator<Progress> {
    return this.#progress.values();
  }

  isLeaving(member: MemberId): boolean {
    return this.#leaving.has(member);
  }

  /**
   * A configuration has taken effect. Whoever it leaves out goes on receiving the log for an election
   * timeout: a member that knows of its removal starts no elections. Whoever comes back meanwhile begins
   * anew: what was under way to it (a snapshot) was given up with its membership.
   */
  follow(configuration: Configuration, tick: number): void {
    const members = new Set(otherMembers(configuration, this.#id));
    for (const member of members) {
      const comesBack = this.#leaving.delete(member);
      if (this.#progress.has(member) && !comesBack) continue;
      this.#progress.set(member, new Progress(member, configuration.index, this.#limits));
    }
    for (const member of this.#progress.keys()) {
      if (members.has(member) || this.#leaving.has(member)) continue;
      this.#leaving.set(member, tick + this.#electionTicks);
    }
  }

  /** Forgets those that have had the time to learn of their removal. */
  forgetRemoved(tick: number): void {
    for (const [member, untilTick] of this.#leaving) {
      if (tick < untilTick) continue;
      this.#leaving.delete(member);
      this.#progress.delete(member);
    }
  }

  /** Has this member given a sign of life within the last election timeout? Itself: yes. */
  hears(member: MemberId, tick: number): boolean {
    if (member === this.#id) return true;
    return this.#progress.get(member)?.wasActiveWithin(this.#electionTicks, tick) ?? false;
  }

  /** It asks all others since it leads: the silence of one is no sign before that one has had the time to answer. */
  isNew(tick: number): boolean {
    return tick - this.sinceTick < this.#electionTicks;
  }

  /** The greatest index that is on the disks of a quorum. */
  storedOnQuorum(configuration: Configuration, ownFlushedIndex: LogIndex): LogIndex {
    return quorumReached(configuration, (member) =>
      member === this.#id ? ownFlushedIndex : (this.#progress.get(member)?.matchIndex ?? 0),
    );
  }

  /** The greatest round of reads that a quorum has confirmed. */
  confirmedRound(configuration: Configuration): number {
    return quorumReached(configuration, (member) =>
      member === this.#id ? this.reads.round : (this.#progress.get(member)?.readRound ?? 0),
    );
  }

  /** Did a quorum, itself included, give a sign of life within the last `ticks`? */
  hearsQuorum(configuration: Configuration, ticks: number, now: number): boolean {
    return isQuorumActive(configuration, (member) =>
      member === this.#id
        ? isVoter(configuration, member)
        : (this.#progress.get(member)?.wasActiveWithin(ticks, now) ?? false),
    );
  }
}
