import { isVoter, otherMembers } from './configuration.js';
import { Progress } from './progress.js';
import { isQuorumActive, quorumReached } from './quorum.js';
import { ReadRounds } from './read-index.js';
import type { Configuration, LogIndex, MemberId, RaftOptions } from './types.js';

/** All that a member knows only while it leads. Made anew with each term that it leads. */
export class Leadership {
  /** Its first entry, a noop (paper §8): what it must commit before it knows what is committed. */
  readonly firstIndex: LogIndex;
  readonly sinceTick: number;
  readonly reads = new ReadRounds();
  /** Bytes of the entries of this leadership that are not committed. */
  uncommittedBytes = 0;
  heartbeatElapsed = 0;
  heartbeatDue = false;
  /** Ticks since the activity of the quorum was checked. */
  checkElapsed = 0;
  readonly #id: MemberId;
  readonly #progress = new Map<MemberId, Progress>();

  constructor(
    options: RaftOptions,
    start: {
      readonly configuration: Configuration;
      readonly firstIndex: LogIndex;
      readonly tick: number;
    },
  ) {
    this.#id = options.id;
    this.firstIndex = start.firstIndex;
    this.sinceTick = start.tick;
    for (const member of otherMembers(start.configuration, options.id)) {
      this.#progress.set(member, new Progress(member, start.firstIndex, options.limits));
    }
  }

  progressOf(member: MemberId): Progress | undefined {
    return this.#progress.get(member);
  }

  followers(): IterableIterator<Progress> {
    return this.#progress.values();
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
