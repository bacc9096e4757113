import { assert, unreachable } from '../base/assert.js';
import {
  campaign,
  countOwnVote,
  electionTimedOut,
  handleRequestVote,
  handleRequestVoteReply,
  handleTimeoutNow,
  hearsLeader,
  leaderDisconnected,
} from './election.js';
import {
  answerNews,
  handleAppendEntries,
  handleHeartbeat,
  refuseAppend,
  refuseHeartbeat,
} from './following.js';
import type { Leadership } from './leadership.js';
import { advanceMembership, changeConfiguration } from './membership.js';
import type { ProgressState } from './progress.js';
import {
  answerConfirmedReads,
  askRead,
  expireForwardedReads,
  forwardReads,
  handleReadIndexReply,
  handleReadIndexRequest,
  startReadRound,
} from './reads.js';
import {
  advanceCommit,
  followerUnreachable,
  handleAppendEntriesReply,
  handleHeartbeatReply,
  handleLoaded,
  propose,
  replicate,
  sendHeartbeats,
} from './replication.js';
import { becomeFollower } from './roles.js';
import { compactLog, snapshotInstalled, snapshotReceived, snapshotSent } from './snapshots.js';
import { RaftState } from './state.js';
import { leaveWhenRemoved, leaveWhenStalled, leaveWithoutQuorum } from './stepping-down.js';
import {
  advanceTransfer,
  handOverByPriority,
  tickTransfer,
  transferLeadership,
} from './transfer.js';
import type {
  Configuration,
  Entry,
  LogIndex,
  LogPosition,
  MemberId,
  Message,
  RaftEvent,
  RaftOptions,
  Ready,
  RequestVote,
  RestoredState,
  Role,
  Term,
} from './types.js';

/** What a leader knows of one follower, for status. */
export interface FollowerStatus {
  readonly member: MemberId;
  readonly matchIndex: LogIndex;
  readonly nextIndex: LogIndex;
  readonly state: ProgressState;
  /** It gave a sign of life within the last election timeout. */
  readonly recentActive: boolean;
}

/**
 * One member of a Raft group: a function of its past. Everything that happens goes in by
 * {@link step}; everything that must be done comes out as {@link Ready}, whose comment states the
 * order. The same options, restored state and events give the same Readys.
 *
 * `options.random` must differ from one start of a member to the next: with it the numbers of
 * forwarded reads are made, and answers to an earlier start must not match them.
 */
export class RaftNode {
  readonly #state: RaftState;

  constructor(options: RaftOptions, restored: RestoredState) {
    assert(options.electionTicks >= 2, 'an election timeout has at least two ticks');
    assert(
      options.heartbeatTicks >= 1 && options.heartbeatTicks * 3 <= options.electionTicks,
      'heartbeatTicks is at most a third of electionTicks',
    );
    this.#state = new RaftState(options, restored);
  }

  /**
   * Applies all events in order, then collects the effects of all of them once. `nowMs`: the shell's
   * monotonic time, read when the step begins, behind the arrival of all its events, and `wallMs` the time of day,
   * read behind that; only leases for reads need them.
   */
  step(events: RaftEvent | readonly RaftEvent[], nowMs = 0, wallMs = nowMs): Ready {
    this.#state.begin(nowMs, wallMs);
    if (isList(events)) for (const event of events) happen(this.#state, event);
    else happen(this.#state, events);
    return collect(this.#state);
  }

  /**
   * Entries from `fromIndex` through `toIndex`: at least one, then as many as fit `bytesMax`; `null`
   * when they are no longer in memory and must be read from the disk.
   */
  entries(fromIndex: LogIndex, toIndex: LogIndex, bytesMax: number): readonly Entry[] | null {
    return this.#state.log.slice(fromIndex, bytesMax, toIndex);
  }

  get id(): MemberId {
    return this.#state.id;
  }

  get role(): Role {
    return this.#state.role;
  }

  get term(): Term {
    return this.#state.currentTerm;
  }

  get leader(): MemberId | null {
    return this.#state.leader;
  }

  get votedFor(): MemberId | null {
    return this.#state.votedFor;
  }

  get commitIndex(): LogIndex {
    return this.#state.commitIndex;
  }

  get lastIndex(): LogIndex {
    return this.#state.log.lastIndex;
  }

  /** The log begins behind this place. */
  get logStart(): LogPosition {
    return this.#state.log.start;
  }

  /** The own log is on disk through here. */
  get flushedIndex(): LogIndex {
    return this.#state.writes.flushedIndex;
  }

  /** That the log is committed through here is on disk: a restart comes this far by itself. */
  get savedCommitIndex(): LogIndex {
    return this.#state.writes.savedCommitIndex;
  }

  get appliedIndex(): LogIndex {
    return this.#state.appliedIndex;
  }

  /** In effect. */
  get configuration(): Configuration {
    return this.#state.configuration;
  }

  /** The latest one that is known to be committed; it may lie beyond what is applied. */
  get committedConfiguration(): Configuration {
    return this.#state.configurations.committed;
  }

  /** Bytes of the entries that this leader took and has not committed; 0 unless it leads. */
  get uncommittedBytes(): number {
    return this.#state.leadership?.uncommittedBytes ?? 0;
  }

  /** Bytes of log entries in memory. */
  get cachedLogBytes(): number {
    return this.#state.log.cachedBytes;
  }

  /** One for each follower; empty unless this member leads. */
  get progress(): readonly FollowerStatus[] {
    const { leadership, now, options } = this.#state;
    if (leadership === null) return [];
    const members = Array.from(leadership.followers()).filter(
      (p) => !leadership.isLeaving(p.member),
    );
    return members.map((progress) => ({
      member: progress.member,
      matchIndex: progress.matchIndex,
      nextIndex: progress.nextIndex,
      state: progress.state,
      recentActive: progress.wasActiveWithin(options.electionTicks, now),
    }));
  }

  /** Nothing that this leader has heard, or not heard, shows that the member is gone. False unless this member leads. */
  mayBeAlive(member: MemberId): boolean {
    const { leadership, now } = this.#state;
    return leadership !== null && (leadership.isNew(now) || leadership.hears(member, now));
  }

  /** The term of the entry there; `null` when the log does not hold it. */
  termAt(index: LogIndex): Term | null {
    return this.#state.log.termAt(index);
  }
}

function isList(events: RaftEvent | readonly RaftEvent[]): events is readonly RaftEvent[] {
  return Array.isArray(events);
}

function happen(state: RaftState, event: RaftEvent): void {
  apply(state, event);
  // Before a next event could add to a log that this member is about to leave to others.
  leaveWhenRemoved(state);
}

function apply(state: RaftState, event: RaftEvent): void {
  switch (event.type) {
    case 'tick':
      tick(state);
      break;
    case 'message':
      if (event.message.to === state.id) receive(state, event.message);
      break;
    case 'propose':
      propose(state, event.id, event.payload);
      break;
    case 'read':
      askRead(state, event.id, event.patient === true);
      break;
    case 'persisted':
      persisted(state, event.sequence);
      break;
    case 'applied':
      applied(state, event.index);
      break;
    case 'loaded':
      handleLoaded(state, event.member, event.entries);
      break;
    case 'disconnected':
      if (state.role === 'follower' && event.member === state.leader) leaderDisconnected(state);
      else followerUnreachable(state, event.member);
      break;
    case 'messages-lost':
      followerUnreachable(state, event.member);
      break;
    case 'campaign':
      campaign(state, 'campaign');
      break;
    case 'change-configuration':
      changeConfiguration(state, event.id, event.change);
      break;
    case 'transfer':
      transferLeadership(state, event.id, event.target);
      break;
    case 'compact':
      compactLog(state, event.index);
      break;
    case 'snapshot-sent':
      snapshotSent(state, event.member, event.index);
      break;
    case 'snapshot-received':
      snapshotReceived(state, event.snapshot);
      break;
    case 'snapshot-installed':
      snapshotInstalled(state, event.position);
      break;
    default:
      unreachable(event);
  }
}

function tick(state: RaftState): void {
  state.now += 1;
  if (state.leadership !== null) {
    tickLeader(state, state.leadership);
    return;
  }
  answerNews(state);
  expireForwardedReads(state);
  state.electionElapsed += 1;
  if (state.electionElapsed >= state.electionTimeout) electionTimedOut(state);
}

function tickLeader(state: RaftState, leadership: Leadership): void {
  leaveWithoutQuorum(state, leadership);
  if (state.leadership !== null) leaveWhenStalled(state, leadership);
  if (state.leadership === null) return;
  leadership.forgetRemoved(state.now);
  tickTransfer(state, leadership);
  handOverByPriority(state, leadership);
  leadership.heartbeatElapsed += 1;
  if (leadership.heartbeatElapsed >= state.options.heartbeatTicks) leadership.heartbeatDue = true;
}

function persisted(state: RaftState, sequence: number): void {
  state.writes.complete(sequence);
  countOwnVote(state);
  advanceCommit(state);
  state.evictLog();
}

function applied(state: RaftState, index: LogIndex): void {
  assert(index <= state.commitIndex, 'only what is committed is applied');
  state.appliedIndex = Math.max(state.appliedIndex, index);
  state.evictLog();
}

/** Terms first (paper §5.1), then what the message says. */
function receive(state: RaftState, message: Message): void {
  if (message.type === 'RequestVote' && isPromisedAway(state, message)) return;
  if (message.term > state.currentTerm) {
    if (message.type === 'RequestVote' && !message.transfer && hearsLeader(state)) return;
    if (takesTermFrom(message)) {
      const leads = message.type === 'AppendEntries' || message.type === 'Heartbeat';
      const leader = leads ? message.from : null;
      becomeFollower(state, { term: message.term, leader, reason: 'higher-term' });
    }
  }
  if (message.term < state.currentTerm) answerOldTerm(state, message);
  else dispatch(state, message);
}

/** A leader may be reading by a lease. Whoever lags is told the term all the same. */
function isPromisedAway(state: RaftState, message: RequestVote): boolean {
  return state.votesForNobody && !message.transfer && message.term >= state.currentTerm;
}

/** Questions and answers of a pre-vote carry a term that nobody has begun. */
function takesTermFrom(message: Message): boolean {
  if (message.type === 'RequestVote') return !message.preVote;
  if (message.type === 'RequestVoteReply') return !(message.preVote && message.granted);
  return true;
}

/** Requests are refused, so that the sender learns the term; answers are of no use any more. */
function answerOldTerm(state: RaftState, message: Message): void {
  switch (message.type) {
    case 'RequestVote':
      state.sendOnceTermIsDurable({
        type: 'RequestVoteReply',
        from: state.id,
        to: message.from,
        term: state.currentTerm,
        preVote: message.preVote,
        granted: false,
      });
      break;
    case 'AppendEntries':
      refuseAppend(state, message);
      break;
    case 'Heartbeat':
      refuseHeartbeat(state, message);
      break;
    case 'RequestVoteReply':
    case 'AppendEntriesReply':
    case 'HeartbeatReply':
    case 'ReadIndex':
    case 'ReadIndexReply':
    case 'TimeoutNow':
      break;
    default:
      unreachable(message);
  }
}

function dispatch(state: RaftState, message: Message): void {
  switch (message.type) {
    case 'RequestVote':
      handleRequestVote(state, message);
      break;
    case 'RequestVoteReply':
      handleRequestVoteReply(state, message);
      break;
    case 'AppendEntries':
      handleAppendEntries(state, message);
      break;
    case 'AppendEntriesReply':
      handleAppendEntriesReply(state, message);
      break;
    case 'Heartbeat':
      handleHeartbeat(state, message);
      break;
    case 'HeartbeatReply':
      handleHeartbeatReply(state, message);
      break;
    case 'ReadIndex':
      handleReadIndexRequest(state, message);
      break;
    case 'ReadIndexReply':
      handleReadIndexReply(state, message);
      break;
    case 'TimeoutNow':
      handleTimeoutNow(state, message);
      break;
    default:
      unreachable(message);
  }
}

function collect(state: RaftState): Ready {
  const { leadership } = state;
  if (leadership === null) forwardReads(state);
  else collectOfLeader(state, leadership);
  return state.outbox.take(state.takeWrite(), state.commitIndex);
}

function collectOfLeader(state: RaftState, leadership: Leadership): void {
  advanceMembership(state, leadership);
  startReadRound(state, leadership);
  if (leadership.heartbeatDue) {
    leadership.heartbeatDue = false;
    leadership.heartbeatElapsed = 0;
    sendHeartbeats(state, leadership);
  }
  replicate(state, leadership);
  advanceTransfer(state, leadership);
  answerConfirmedReads(state, leadership);
}
