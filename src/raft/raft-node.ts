import { assert, unreachable } from '../base/assert.js';
import {
  campaign,
  countOwnVote,
  electionTimedOut,
  handleRequestVote,
  handleRequestVoteReply,
  hearsLeader,
  leaderDisconnected,
} from './election.js';
import {
  handleAppendEntries,
  handleHeartbeat,
  refuseAppend,
  refuseHeartbeat,
} from './following.js';
import type { Leadership } from './leadership.js';
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
  followerDisconnected,
  handleAppendEntriesReply,
  handleHeartbeatReply,
  handleLoaded,
  propose,
  replicate,
  sendHeartbeats,
} from './replication.js';
import { becomeFollower } from './roles.js';
import { RaftState } from './state.js';
import type {
  Configuration,
  Entry,
  LogIndex,
  MemberId,
  Message,
  RaftEvent,
  RaftOptions,
  Ready,
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

  /** Applies all events in order, then collects the effects of all of them once. */
  step(events: RaftEvent | readonly RaftEvent[]): Ready {
    if (isList(events)) for (const event of events) apply(this.#state, event);
    else apply(this.#state, events);
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

  /** The own log is on disk through here. */
  get flushedIndex(): LogIndex {
    return this.#state.writes.flushedIndex;
  }

  get appliedIndex(): LogIndex {
    return this.#state.appliedIndex;
  }

  get configuration(): Configuration {
    return this.#state.configuration;
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
    return Array.from(leadership.followers(), (progress) => ({
      member: progress.member,
      matchIndex: progress.matchIndex,
      nextIndex: progress.nextIndex,
      state: progress.state,
      recentActive: progress.wasActiveWithin(options.electionTicks, now),
    }));
  }

  /** The term of the entry there; `null` when the log does not hold it. */
  termAt(index: LogIndex): Term | null {
    return this.#state.log.termAt(index);
  }
}

function isList(events: RaftEvent | readonly RaftEvent[]): events is readonly RaftEvent[] {
  return Array.isArray(events);
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
      askRead(state, event.id);
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
      else followerDisconnected(state, event.member);
      break;
    case 'campaign':
      campaign(state, 'campaign');
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
  expireForwardedReads(state);
  state.electionElapsed += 1;
  if (state.electionElapsed >= state.electionTimeout) electionTimedOut(state);
}

function tickLeader(state: RaftState, leadership: Leadership): void {
  const { electionTicks, heartbeatTicks } = state.options;
  leadership.checkElapsed += 1;
  if (leadership.checkElapsed >= electionTicks) {
    leadership.checkElapsed = 0;
    // Cut off from the quorum it can decide nothing: clients had better ask elsewhere.
    if (!leadership.hearsQuorum(state.configuration, electionTicks, state.now)) {
      becomeFollower(state, { term: state.currentTerm, leader: null, reason: 'check-quorum' });
      return;
    }
  }
  leadership.heartbeatElapsed += 1;
  if (leadership.heartbeatElapsed >= heartbeatTicks) leadership.heartbeatDue = true;
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
  if (message.term > state.currentTerm) {
    if (message.type === 'RequestVote' && hearsLeader(state)) return;
    if (takesTermFrom(message)) {
      const leads = message.type === 'AppendEntries' || message.type === 'Heartbeat';
      const leader = leads ? message.from : null;
      becomeFollower(state, { term: message.term, leader, reason: 'higher-term' });
    }
  }
  if (message.term < state.currentTerm) answerOldTerm(state, message);
  else dispatch(state, message);
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
  startReadRound(state, leadership);
  if (leadership.heartbeatDue) {
    leadership.heartbeatDue = false;
    leadership.heartbeatElapsed = 0;
    sendHeartbeats(state, leadership);
  }
  replicate(state, leadership);
  answerConfirmedReads(state, leadership);
}
