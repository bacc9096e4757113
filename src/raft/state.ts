import { assert } from '../base/assert.js';
import { unpackConfiguration } from './configuration-codec.js';
import { ConfigurationHistory } from './configuration-history.js';
import { ForwardedReads } from './forwarded-reads.js';
import type { Leadership } from './leadership.js';
import { VotePromise } from './lease.js';
import { RaftLog } from './log.js';
import { Outbox } from './outbox.js';
import type {
  Configuration,
  DiskWrite,
  Entry,
  HardState,
  LogIndex,
  LogPosition,
  MemberId,
  Message,
  RaftOptions,
  RestoredState,
  Role,
  SnapshotOffer,
  Term,
} from './types.js';
import { WritesUnderWay } from './writes-under-way.js';

/** The commit index goes to the disk with what is written next; when nothing was for so many ticks, alone. */
const QUIET_TICKS = 10;

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
  /** Monotonic time of the present step. */
  nowMs = Number.NEGATIVE_INFINITY;
  /** The time of day then, as the shell believes. It may jump. */
  wallMs = Number.NEGATIVE_INFINITY;
  readonly votePromise: VotePromise;
  /** Ticks since the election timer was reset. */
  electionElapsed = 0;
  /** At which value of `electionElapsed` an election starts. */
  electionTimeout = 0;
  /** What a leader is told with the next tick, unless it is told as much before (`answerNews`). */
  heldAnswer: { leader: MemberId; term: Term; verified: LogIndex } | null = null;
  /** How often the election timer has run out since a leader was heard. */
  timeoutsWithoutLeader = 0;
  /**
   * Not before this tick does it hand leadership over by itself again. Outlives its leadership: the
   * target may be one that can be asked to campaign and cannot win, again and again.
   */
  handOverFromTick = 0;
  /** The answers to the election under way. */
  readonly votes = new Map<MemberId, boolean>();
  /** Not null exactly while the role is `leader`. */
  leadership: Leadership | null = null;
  /** The snapshot of `Ready.install`, until it is in place: no entries, and no campaign. */
  installing: SnapshotOffer | null = null;
  readonly configurations: ConfigurationHistory;
  /** What the last write with a hard state said. */
  #writtenHardState: HardState;
  /** The log through here is on disk, or in a write under way. */
  #writtenIndex: LogIndex;
  /** When something was written last. */
  #writtenTick = 0;

  /** Its connection to the leader broke: until then it asks for votes again behind so many ticks (see `leaderDisconnected`). */
  hurry: { readonly untilTick: number; readonly ticks: number } | null = null;

  constructor(options: RaftOptions, restored: RestoredState) {
    checkRestored(restored);
    this.options = options;
    this.log = new RaftLog(restored, options.limits.logCacheBytesMax);
    this.writes = new WritesUnderWay(restored.hardState, restored.lastIndex);
    this.forwardedReads = new ForwardedReads(options.random);
    // Who has been in no term has promised nothing.
    const { leaseMs, leaseMsBefore = 0 } = options;
    const promisedMs = restored.hardState.currentTerm > 0 ? Math.max(leaseMs, leaseMsBefore) : 0;
    this.votePromise = new VotePromise(promisedMs);
    this.currentTerm = restored.hardState.currentTerm;
    this.votedFor = restored.hardState.votedFor;
    this.appliedIndex = restored.appliedIndex;
    this.commitIndex = Math.max(
      Math.min(restored.hardState.commitIndex, restored.lastIndex),
      restored.appliedIndex,
      restored.logStart.index,
    );
    this.configurations = restoredConfigurations(options.id, restored, this.commitIndex);
    this.#writtenHardState = restored.hardState;
    this.#writtenIndex = restored.lastIndex;
    this.resetElectionTimer();
    this.#tellRemoval();
  }

  get id(): MemberId {
    return this.options.id;
  }

  /** The one in effect. The only way to it, so that a change takes effect everywhere at once. */
  get configuration(): Configuration {
    return this.configurations.current;
  }

  /** A step begins. A clock that is read twice in one moment may not go back. */
  begin(nowMs: number, wallMs: number): void {
    this.nowMs = Math.max(this.nowMs, nowMs);
    this.wallMs = wallMs;
    this.votePromise.begin(this.nowMs);
  }

  /** Has it promised to vote for nobody at present, itself included (see `lease`)? */
  get votesForNobody(): boolean {
    return this.votePromise.holdsAt(this.nowMs);
  }

  /** Are the current term and vote on disk? What promises anything in this term waits for it. */
  get hardStateIsDurable(): boolean {
    return this.writes.holds(this);
  }

  /** Has the disk owed an answer for too long? */
  get diskStalled(): boolean {
    const since = this.writes.oldestSinceTick;
    return since !== null && this.now - since >= this.options.diskStallTicks;
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
    if (index <= this.commitIndex) return;
    this.commitIndex = index;
    for (const configuration of this.configurations.commitTo(index)) {
      this.outbox.tell({ type: 'configuration', configuration, committed: true });
    }
    this.#tellRemoval();
  }

  /** Appends to the log. A configuration is in effect at once (paper §6). */
  append(entry: Entry): void {
    this.log.append(entry);
    if (entry.type !== 'configuration') return;
    const configuration = unpackConfiguration(entry.payload, entry.index);
    this.configurations.appended(configuration);
    this.leadership?.follow(configuration, this.now);
    this.outbox.tell({ type: 'configuration', configuration, committed: false });
  }

  /** Cuts the log from `index` on, in memory and in the claims of the writes under way. */
  truncateFrom(index: LogIndex): void {
    assert(
      index > this.commitIndex,
      `entry ${index} is committed (through ${this.commitIndex}) and never truncated`,
    );
    this.log.truncateFrom(index);
    this.writes.truncateFrom(index);
    if (this.configurations.truncateFrom(index)) {
      const { current: configuration, committed } = this.configurations;
      const isCommitted = configuration === committed;
      this.outbox.tell({ type: 'configuration', configuration, committed: isCommitted });
    }
    this.#writtenIndex = Math.min(this.#writtenIndex, index - 1);
  }

  /** A snapshot through `place`, durably installed, has taken the place of all that was before. */
  resetLog(place: LogPosition): void {
    assert(
      place.index > this.commitIndex && this.leadership === null,
      `a snapshot through ${place.index} goes beyond what is committed (${this.commitIndex})`,
    );
    this.log.reset(place);
    this.writes.resetTo(place.index);
    this.#writtenIndex = place.index;
    this.commitIndex = place.index;
    this.appliedIndex = place.index;
  }

  /**
   * The memory may let go what is committed, and on the own disk. Also what is not applied yet: a member
   * that applies more slowly than its leader sends would else hold all that lies between in memory.
   */
  evictLog(): void {
    this.log.evict(Math.min(this.commitIndex, this.writes.flushedIndex));
  }

  /** One write for all that changed since the last one; `null` when nothing must be written. */
  takeWrite(): DiskWrite | null {
    const written = this.#writtenHardState;
    const hint = this.#commitIndexOnDisk();
    const isQuiet = this.now - this.#writtenTick >= QUIET_TICKS;
    const mustWriteHardState =
      written.currentTerm !== this.currentTerm ||
      written.votedFor !== this.votedFor ||
      (isQuiet && hint > written.commitIndex);
    const hasEntries = this.#writtenIndex < this.log.lastIndex;
    if (!mustWriteHardState && !hasEntries) return null;
    this.#writtenTick = this.now;

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
      sequence: this.writes.begin(this.log.lastIndex, hardState, this.now),
      hardState,
      entries,
    };
  }

  #tellRemoval(): void {
    if (this.configurations.takeRemoval()) this.outbox.tell({ type: 'removed' });
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
  const { appliedIndex, lastIndex, logStart, hardState, terms } = restored;
  assert(
    appliedIndex >= logStart.index,
    `the state machine has applied entry ${appliedIndex}, but the log on disk begins behind ` +
      `${logStart.index}: entries that it needs are gone`,
  );
  assert(
    appliedIndex <= lastIndex,
    `the state machine has applied entry ${appliedIndex}, but the log on disk ends at ${lastIndex}: ` +
      'the log has lost entries that it had said were durable',
  );
  assert(
    hardState.currentTerm >= (terms.at(-1)?.term ?? 0),
    'the term on disk is at least that of the last entry: it is written first',
  );
}

/** Those of the log that are beyond the latest applied one, in the log's order. */
function restoredConfigurations(
  self: MemberId,
  restored: RestoredState,
  commitIndex: LogIndex,
): ConfigurationHistory {
  const { configuration, configurationEntries, lastIndex } = restored;
  assert(configuration.index <= restored.appliedIndex, 'the base configuration is an applied one');
  const history = new ConfigurationHistory(self, configuration);
  for (const entry of configurationEntries) {
    assert(entry.index <= lastIndex, 'configuration entries lie within the log');
    if (entry.index <= configuration.index) continue;
    history.appended(unpackConfiguration(entry.payload, entry.index));
  }
  history.commitTo(commitIndex);
  return history;
}
