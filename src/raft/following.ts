import { assert } from '../base/assert.js';
import { grantLease } from './lease.js';
import { becomeFollower, setLeader } from './roles.js';
import type { RaftState } from './state.js';
import type {
  AppendEntries,
  AppendEntriesReply,
  Entry,
  Heartbeat,
  HeartbeatReply,
  LogIndex,
  MemberId,
} from './types.js';

/** The receiver's side of AppendEntries and of the heartbeat (paper §5.3, Figure 2). */

/** The message is of the current term. */
export function handleAppendEntries(state: RaftState, message: AppendEntries): void {
  follow(state, message.from);
  // A snapshot is about to take the place of the log: what is taken now would be lost with it. No
  // answer, because a refusal would ask for yet another snapshot.
  if (state.installing !== null) return;
  const verified = takeEntries(state, message);
  if (verified === null) {
    refuseAppend(state, message);
    return;
  }
  const { commitIndex } = state;
  // Figure 2: only through the last entry that this message verified. What the own log holds
  // beyond that may differ from the leader's.
  state.commitTo(Math.min(message.leaderCommit, verified));
  const isNewsOnly = message.entries.length === 0 && state.commitIndex > commitIndex;
  if (isNewsOnly) holdAnswer(state, message, verified);
  else acknowledge(state, message.from, verified);
}

function holdAnswer(state: RaftState, { from, term }: AppendEntries, verified: LogIndex): void {
  const { heldAnswer } = state;
  const before = heldAnswer?.term === term ? heldAnswer.verified : 0;
  state.heldAnswer = { leader: from, term, verified: Math.max(verified, before) };
}

/**
 * A tick has passed: what was answered to nothing but a new commit index. The leader has been told of these entries, as a rule, and
 * will be of those behind them: to answer at once would cost both sides a message for each entry that comes alone. It may have
 * been a question all the same, of a leader that does not know what is here.
 */
export function answerNews(state: RaftState): void {
  const { heldAnswer, currentTerm, installing } = state;
  state.heldAnswer = null;
  if (heldAnswer === null || heldAnswer.term !== currentTerm || installing !== null) return;
  acknowledge(state, heldAnswer.leader, heldAnswer.verified);
}

/** Tells the leader of the current term that the own log equals its log through `matchIndex`. */
export function acknowledge(state: RaftState, leader: MemberId, matchIndex: LogIndex): void {
  // This one says all that the other would have said.
  if (matchIndex >= (state.heldAnswer?.verified ?? 0)) state.heldAnswer = null;
  const reply: AppendEntriesReply = {
    type: 'AppendEntriesReply',
    from: state.id,
    to: leader,
    term: state.currentTerm,
    result: { success: true, matchIndex },
  };
  // An entry that is acknowledged and lost may have been committed.
  if (matchIndex > state.writes.flushedIndex) state.outbox.sendAfterPersist(reply);
  else state.sendOnceTermIsDurable(reply);
}

/** Refuses a message that does not fit the log, or is of an old term (which the answer tells). */
export function refuseAppend(state: RaftState, message: AppendEntries): void {
  state.sendOnceTermIsDurable({
    type: 'AppendEntriesReply',
    from: state.id,
    to: message.from,
    term: state.currentTerm,
    result: {
      success: false,
      prevIndex: message.prevLog.index,
      hint: state.log.lastPossibleAgreement(message.prevLog),
    },
  });
}

/** The message is of the current term. */
export function handleHeartbeat(state: RaftState, message: Heartbeat): void {
  follow(state, message.from);
  // At most what this member has said to have; so it must be there.
  state.commitTo(message.commit);
  answerHeartbeat(state, message, {
    readRound: message.readRound,
    leaseGranted: grantLease(state, message),
  });
}

/** Tells the sender of an old heartbeat the term. Round 0 confirms nothing in any term. */
export function refuseHeartbeat(state: RaftState, message: Heartbeat): void {
  answerHeartbeat(state, message, { readRound: 0, leaseGranted: false });
}

function answerHeartbeat(
  state: RaftState,
  message: Heartbeat,
  answer: Pick<HeartbeatReply, 'readRound' | 'leaseGranted'>,
): void {
  state.sendOnceTermIsDurable({
    type: 'HeartbeatReply',
    from: state.id,
    to: message.from,
    term: state.currentTerm,
    priority: state.options.priority,
    appliedIndex: state.appliedIndex,
    ...answer,
  });
}

/** `leader` leads the current term. */
function follow(state: RaftState, leader: MemberId): void {
  assert(
    state.leadership === null && (state.leader === null || state.leader === leader),
    `one leader in term ${state.currentTerm}: ${state.leader} and ${leader}`,
  );
  state.timeoutsWithoutLeader = 0;
  if (state.role !== 'follower') {
    // Paper §5.2: a candidate recognises the leader of its own term.
    becomeFollower(state, { term: state.currentTerm, leader, reason: 'leader-elected' });
    return;
  }
  state.resetElectionTimer();
  if (state.leader === leader) return;
  setLeader(state, leader);
  state.tellRole('leader-heard');
}

/**
 * Takes the entries into the log. Returns the index through which the log is now known to equal the
 * leader's, or `null` when it does not hold `prevLog`.
 */
function takeEntries(state: RaftState, message: AppendEntries): LogIndex | null {
  const { log, commitIndex } = state;
  const { prevLog, entries } = message;
  checkEntries(message);
  // What is committed is in the log of every later leader (paper §5.4.3): what lies before the
  // start of the log need not be compared.
  if (!log.holds(prevLog)) {
    if (prevLog.index > commitIndex) return null;
    assert(prevLog.index < log.start.index, 'a leader has all that is committed here');
  }
  for (const entry of entries) {
    if (entry.index > log.lastIndex) {
      state.append(entry);
    } else if (entry.index > log.start.index && log.termAt(entry.index) !== entry.term) {
      // Only on a conflict: an old message that was overtaken must not cut off what came after it.
      state.truncateFrom(entry.index);
      state.append(entry);
    }
  }
  return Math.max(prevLog.index + entries.length, commitIndex);
}

function checkEntries({ prevLog, entries, term }: AppendEntries): void {
  let previous: Pick<Entry, 'index' | 'term'> = prevLog;
  for (const entry of entries) {
    assert(
      entry.index === previous.index + 1 && entry.term >= previous.term && entry.term <= term,
      'the entries of a message follow one another',
    );
    previous = entry;
  }
}
