import { assert } from '../base/assert.js';
import { entryBytes } from './entry-cache.js';
import { Leadership } from './leadership.js';
import { beginLeaseRound } from './lease.js';
import { appendOwn } from './own-entries.js';
import type { Progress } from './progress.js';
import { setLeader } from './roles.js';
import { offerSnapshot } from './snapshots.js';
import type { RaftState } from './state.js';
import { isClosing } from './transfer.js';
import type {
  AppendEntriesReply,
  Entry,
  HeartbeatReply,
  LogIndex,
  LogPosition,
  MemberId,
} from './types.js';

/** The leader's side: paper §5.3 and §5.4.2, with pipelining (thesis §10.2.1). */

const EMPTY_PAYLOAD = new Uint8Array(0);
const NO_ENTRIES: readonly Entry[] = [];

/** The election is won. A noop makes all that was before committable at once (paper §8). */
export function startLeading(state: RaftState): void {
  state.role = 'leader';
  setLeader(state, state.id);
  state.leadership = new Leadership(state.options, {
    configuration: state.configuration,
    firstIndex: state.log.lastIndex + 1,
    tick: state.now,
  });
  state.tellRole('election-won');
  appendOwn(state, state.leadership, { type: 'noop', payload: EMPTY_PAYLOAD });
}

export function propose(state: RaftState, id: number, payload: Uint8Array): void {
  const { leadership, leader, outbox } = state;
  if (leadership === null) {
    outbox.answerProposal({ id, accepted: false, reason: 'not-leader', leader });
    return;
  }
  if (isClosing(leadership)) {
    // The target is to have the whole log: it must not grow meanwhile.
    outbox.answerProposal({ id, accepted: false, reason: 'transferring', leader });
    return;
  }
  const { uncommittedBytes } = leadership;
  const { uncommittedBytesMax } = state.options.limits;
  // One is taken however large it is, when none waits: it could never be taken otherwise.
  if (uncommittedBytes > 0 && uncommittedBytes + payload.byteLength > uncommittedBytesMax) {
    outbox.answerProposal({ id, accepted: false, reason: 'overloaded', leader });
    return;
  }
  const position = appendOwn(state, leadership, { type: 'command', payload });
  outbox.answerProposal({ id, accepted: true, position });
}

/** Commits what is stored on a quorum. Called when an own or a follower's disk has got further. */
export function advanceCommit(state: RaftState): void {
  const { leadership, log, commitIndex } = state;
  if (leadership === null) return;
  const index = leadership.storedOnQuorum(state.configuration, state.writes.flushedIndex);
  // Paper §5.4.2: only entries of the current term commit by counting; those before follow.
  if (index <= commitIndex || log.termAt(index) !== state.currentTerm) return;
  state.commitTo(index);
  for (let at = Math.max(commitIndex + 1, leadership.firstIndex); at <= index; at += 1) {
    leadership.uncommittedBytes -= log.entryAt(at)?.payload.byteLength ?? 0;
  }
}

export function handleAppendEntriesReply(state: RaftState, message: AppendEntriesReply): void {
  const progress = state.leadership?.progressOf(message.from);
  if (progress === undefined) return;
  progress.heard(state.now);
  const { result } = message;
  if (result.success) {
    assert(
      result.matchIndex <= state.log.lastIndex,
      'no follower has more of the log of a term than its leader',
    );
    if (progress.accepted(result.matchIndex, state.log.start.index)) advanceCommit(state);
    return;
  }
  progress.refused(result.prevIndex, agreementWith(state, result.hint));
}

/** The last place where a log that ends with `hint` may still agree with the own one. */
function agreementWith(state: RaftState, hint: LogPosition): LogIndex {
  // What lies before the start is gone: whoever ends there needs a snapshot.
  if (hint.index < state.log.start.index) return hint.index;
  return state.log.lastPossibleAgreement(hint).index;
}

export function handleHeartbeatReply(state: RaftState, message: HeartbeatReply): void {
  const progress = state.leadership?.progressOf(message.from);
  if (progress === undefined) return;
  progress.heard(state.now);
  progress.readRound = Math.max(progress.readRound, message.readRound);
  if (message.leaseGranted) progress.leaseRound = Math.max(progress.leaseRound, message.readRound);
  // An older version does not say: it is not waited for.
  progress.appliedIndex = message.appliedIndex ?? Number.POSITIVE_INFINITY;
  progress.applyLag = state.commitIndex - progress.appliedIndex;
  state.leadership?.priorities.set(message.from, message.priority);
  progress.alive(state.now - state.options.heartbeatTicks);
}

/** What was sent to it may not have arrived. */
export function followerUnreachable(state: RaftState, member: MemberId): void {
  state.leadership?.progressOf(member)?.becomeUnreachable(state.log.start.index, state.now);
}

/** Entries for a slow follower were read from the disk. Old answers are ignored. */
export function handleLoaded(state: RaftState, member: MemberId, entries: readonly Entry[]): void {
  const progress = state.leadership?.progressOf(member);
  if (progress === undefined) return;
  const first = entries[0];
  if (first === undefined) {
    progress.loadedNothing(state.now);
    return;
  }
  if (!progress.loaded(first.index)) return;
  // The log may have been another when it was read.
  if (entries.every((entry) => state.log.holds(entry))) progress.keepLoaded(entries);
}

/** What a leader sends at the end of a step: at most one AppendEntries to each follower. */
export function replicate(state: RaftState, leadership: Leadership): void {
  for (const progress of leadership.followers()) {
    if (progress.nextIndex <= state.log.start.index) {
      // Who is no member any more gets what is left of the log, but no snapshot.
      if (!leadership.isLeaving(progress.member)) offerSnapshot(state, progress);
    } else if (progress.nextIndex <= state.log.lastIndex && progress.ready) {
      sendNextEntries(state, progress);
    } else if (progress.askDue || hasNewsFor(state, progress)) {
      sendEntries(state, progress, NO_ENTRIES);
    }
  }
}

/** Tells all that it leads, and asks them to confirm the latest round of reads. */
export function sendHeartbeats(state: RaftState, leadership: Leadership): void {
  const leaseMs = beginLeaseRound(state, leadership);
  for (const progress of leadership.followers()) {
    state.send({
      type: 'Heartbeat',
      from: state.id,
      to: progress.member,
      term: state.currentTerm,
      // Never beyond what it is known to have: it may hold other entries there.
      commit: Math.min(progress.matchIndex, state.commitIndex),
      readRound: leadership.reads.round,
      leaseMs,
    });
  }
}

function sendNextEntries(state: RaftState, progress: Progress): void {
  const { appendBytesMax } = state.options.limits;
  const fromIndex = progress.nextIndex;
  const entries = progress.takeLoaded() ?? state.log.slice(fromIndex, appendBytesMax);
  if (entries !== null) {
    sendEntries(state, progress, entries);
    return;
  }
  progress.load();
  state.outbox.load({
    member: progress.member,
    fromIndex,
    toIndex: state.log.firstCachedIndex - 1,
    bytesMax: appendBytesMax,
  });
}

function sendEntries(state: RaftState, progress: Progress, entries: readonly Entry[]): void {
  const index = progress.nextIndex - 1;
  const term = state.log.termAt(index);
  assert(term !== null, 'the log reaches back to what a follower needs');
  const lastIndex = index + entries.length;
  state.send({
    type: 'AppendEntries',
    from: state.id,
    to: progress.member,
    term: state.currentTerm,
    prevLog: { index, term },
    entries,
    leaderCommit: state.commitIndex,
  });
  progress.askDue = false;
  progress.sentAtTick = state.now;
  progress.sentCommit = Math.max(progress.sentCommit, Math.min(state.commitIndex, lastIndex));
  if (entries.length > 0) progress.sent(lastIndex, sizeOf(entries));
}

/** Is there a commit index that it does not know, of entries that it was sent? */
function hasNewsFor(state: RaftState, progress: Progress): boolean {
  const sentCommit = Math.min(state.commitIndex, progress.nextIndex - 1);
  return progress.state === 'replicate' && sentCommit > progress.sentCommit;
}

function sizeOf(entries: readonly Entry[]): LogIndex {
  let bytes = 0;
  for (const entry of entries) bytes += entryBytes(entry);
  return bytes;
}
