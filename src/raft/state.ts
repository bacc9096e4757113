import { assert } from '../base/assert.js';
import { ForwardedReads } from './forwarded-reads.js';
import type { Leadership } from './leadership.js';
import { RaftLog } from './log.js';
import { Outbox } from './outbox.js';
import type {
  Configuration,
  DiskWrite,
  HardState,
  LogIndex,
  MemberId,
  Message,
  RaftOptions,
  RestoredState,
  Role,
  Term,
} from './types.js';
import { WritesUnderWay } from './writes-under-way.js';

/**
 * The mutable inside of a member. The rules are in the functions of `election`, `following`,
 * `replication` and `reads`; here is what they share.
 */
export class RaftState {
  readonly options: RaftOptions;
  readonly log: RaftLog;
  readonly writes: WritesUnderWay;
  readonly outbox = new Outbox();
  readonly forwardedReads: ForwardedReads;
  role: Role = 'follower';
  currentTerm: Term;
  votedFor: MemberId | null;
  leader: MemberId | null = null;
  commitIndex: LogIndex;
  appliedIndex: LogIndex;
  /** Ticks since the start. */
  now = 0;
  /** Ticks since the election timer was reset. */
  electionElapsed = 0;
  /** At which value of `electionElapsed` an election starts. */
  electionTimeout = 0;
  /** The answers to the election under way. */
  readonly votes = new Map<MemberId, boolean>();
  /** Not null exactly while the role is `leader`. */
  leadership: Leadership | null = null;
  readonly #configuration: Configuration;
  /** What the last write with a hard state said. */
  #writtenHardState: HardState;
  /** The log through here is on disk, or in a write under way. */
  #writtenIndex: LogIndex;

  constructor(options: RaftOptions, restored: RestoredState) {
    checkRestored(restored);
    this.options = options;
    this.log = new RaftLog(restored, options.limits.logCacheBytesMax);
    this.writes = new WritesUnderWay(restored.hardState, restored.lastIndex);
    this.forwardedReads = new ForwardedReads(options.random);
    this.currentTerm = restored.hardState.currentTerm;
    this.votedFor = restored.hardState.votedFor;
    this.appliedIndex = restored.appliedIndex;
    this.commitIndex = Math.max(
      Math.min(restored.hardState.commitIndex, restored.lastIndex),
      restored.appliedIndex,
      restored.logStart.index,
    );
    this.#configuration = restored.configuration;
    this.#writtenHardState = restored.hardState;
    this.#writtenIndex = restored.lastIndex;
    this.resetElectionTimer();
  }

  get id(): MemberId {
    return this.options.id;
  }

  /** The one in effect. The only way to it, so that a change takes effect everywhere at once. */
  get configuration(): Configuration {
    return this.#configuration;
  }

  /** Are the current term and vote on disk? What promises anything in this term waits for it. */
  get hardStateIsDurable(): boolean {
    return this.writes.holds(this);
  }

  resetElectionTimer(): void {
    const { electionTicks, random } = this.options;
    this.electionElapsed = 0;
    this.electionTimeout = electionTicks + random.int(electionTicks);
  }

  /** Sends what stays true if the disk forgets all that is not yet written. */
  send(message: Message): void {
    this.outbox.send(message);
  }

  /** Sends what promises something of the current term or vote: not before these are on disk. */
  sendOnceTermIsDurable(message: Message): void {
    if (this.hardStateIsDurable) this.outbox.send(message);
    else this.outbox.sendAfterPersist(message);
  }

  tellRole(reason: string): void {
    const { role, currentTerm: term, leader } = this;
    this.outbox.tell({ type: 'role', role, term, leader, reason });
  }

  commitTo(index: LogIndex): void {
    assert(index <= this.log.lastIndex, `commit index ${index} lies within the log`);
    if (index > this.commitIndex) this.commitIndex = index;
  }

  /** Cuts the log from `index` on, in memory and in the claims of the writes under way. */
  truncateFrom(index: LogIndex): void {
    assert(
      index > this.commitIndex,
      `entry ${index} is committed (through ${this.commitIndex}) and never truncated`,
    );
    this.log.truncateFrom(index);
    this.writes.truncateFrom(index);
    this.#writtenIndex = Math.min(this.#writtenIndex, index - 1);
  }

  /** The memory may let go what is applied, and on the own disk. */
  evictLog(): void {
    this.log.evict(Math.min(this.appliedIndex, this.writes.flushedIndex));
  }

  /** One write for all that changed since the last one; `null` when nothing must be written. */
  takeWrite(): DiskWrite | null {
    const written = this.#writtenHardState;
    const mustWriteHardState =
      written.currentTerm !== this.currentTerm || written.votedFor !== this.votedFor;
    const hasEntries = this.#writtenIndex < this.log.lastIndex;
    if (!mustWriteHardState && !hasEntries) return null;

    const hint = this.#commitIndexOnDisk();
    const hardState =
      mustWriteHardState || hint > written.commitIndex
        ? { currentTerm: this.currentTerm, votedFor: this.votedFor, commitIndex: hint }
        : null;
    const entries = hasEntries
      ? this.log.slice(this.#writtenIndex + 1, Number.POSITIVE_INFINITY)
      : [];
    assert(entries !== null, 'entries that are not on disk are in memory');
    if (hardState !== null) this.#writtenHardState = hardState;
    this.#writtenIndex = this.log.lastIndex;
    return {
      sequence: this.writes.begin(this.log.lastIndex, hardState),
      hardState,
      entries,
    };
  }

  /**
   * The commit index to save. It is written before the entries, so it must not go beyond what is
   * already on disk: after a crash between the two it would declare committed what the lost entries
   * were about to replace.
   */
  #commitIndexOnDisk(): LogIndex {
    return Math.min(this.commitIndex, this.writes.flushedIndex);
  }
}

function checkRestored(restored: RestoredState): void {
  const { appliedIndex, lastIndex, hardState, terms } = restored;
  assert(
    appliedIndex <= lastIndex,
    `the state machine has applied entry ${appliedIndex}, but the log on disk ends at ${lastIndex}: ` +
      'the log has lost entries that it had said were durable',
  );
  assert(
    hardState.currentTerm >= (terms.at(-1)?.term ?? 0),
    'the term on disk is at least that of the last entry: it is written first',
  );
  assert(
    restored.configurationEntries.length === 0,
    'configuration entries are not supported by this version',
  );
}
