import { assert } from '../base/assert.js';
import { adoptConfiguration } from './configuration-history.js';
import { acknowledge } from './following.js';
import type { Progress } from './progress.js';
import { becomeFollower } from './roles.js';
import type { RaftState } from './state.js';
import type { LogIndex, LogPosition, MemberId, SnapshotOffer } from './types.js';

/**
 * Snapshots and the compaction of the log (paper §7). The core decides who needs a snapshot and
 * whether one that was received is of use; sending, storing and switching are the shell's.
 */

/** The shell gives up the log through `index`. */
export function compactLog(state: RaftState, index: LogIndex): void {
  const { log, leadership } = state;
  if (index <= log.start.index) return;
  // Paper §7: what the snapshot stands for is committed. Anything else could still be taken back.
  assert(
    index <= state.appliedIndex && index <= state.writes.flushedIndex,
    `the log is compacted through ${index}, applied through ${state.appliedIndex} and on disk ` +
      `through ${state.writes.flushedIndex}`,
  );
  const term = log.termAt(index);
  assert(term !== null, 'what is applied is in the log');
  log.compactTo({ index, term });
  for (const progress of leadership?.followers() ?? []) progress.logCompacted(index);
  state.outbox.tell({ type: 'compacted', logStart: log.start });
}

// The leader's side

/**
 * A follower has said that it needs entries that are gone. Whoever is silent gets no snapshot, since
 * it may be gone for good: it is asked what it has, and its refusal is the sign of life.
 */
export function offerSnapshot(state: RaftState, progress: Progress): void {
  if (progress.state === 'snapshot') return;
  progress.awaitSnapshot();
  state.outbox.sendSnapshot({ member: progress.member });
  tell(state, 'needed', progress.member, state.log.start.index);
}

/** Ignored unless it is waited for: entries may have brought the follower further meanwhile. */
export function snapshotSent(state: RaftState, member: MemberId, index: LogIndex | null): void {
  const progress = state.leadership?.progressOf(member);
  if (progress?.state !== 'snapshot') return;
  const { start } = state.log;
  if (index === null) {
    progress.snapshotFailed(start.index, state.now);
    tell(state, 'failed', member, start.index);
    return;
  }
  assert(index <= state.commitIndex, 'a snapshot holds what is committed');
  progress.snapshotTaken(index, start.index, state.now);
  tell(state, 'sent', member, index);
}

// The follower's side

/**
 * A whole snapshot has come. What it holds is committed, and that it stays in every term: it is taken also
 * when another leads by now. For the same reason it is no sign of life of a leader: nobody is followed, and
 * no election put off, because of it.
 */
export function snapshotReceived(state: RaftState, snapshot: SnapshotOffer): void {
  const { from, term, position } = snapshot;
  assert(position.term <= term, 'what a snapshot holds was committed when its sender led');
  // A term rules over it as over any message (paper §5.1); and no log may end in a term that is unknown.
  if (term > state.currentTerm) {
    becomeFollower(state, { term, leader: null, reason: 'higher-term' });
  }
  if (!mayInstall(state, snapshot)) {
    tell(state, 'ignored', from, position.index);
    return;
  }
  if (bringsNothing(state, position)) {
    tell(state, 'ignored', from, position.index);
    // Paper §7, step 6: "if existing log entry has same index and term as snapshot's last included
    // entry, retain log entries following it and reply".
    tellLeader(state, snapshot, state.commitIndex);
    return;
  }
  if (state.role !== 'follower') {
    becomeFollower(state, { term: state.currentTerm, leader: null, reason: 'snapshot-received' });
  }
  state.installing = snapshot;
  state.outbox.install(snapshot);
  tell(state, 'installing', from, position.index);
}

/** A state that has not come as far as to know its members would make this one a stranger. */
function mayInstall(state: RaftState, { configuration }: SnapshotOffer): boolean {
  // A leader has all that was committed before its term.
  if (state.leadership !== null) return false;
  return state.installing === null && configuration.voters.length > 0;
}

/**
 * What is committed is in the log of whoever leads the current term. `snapshot`: says who does so, if it is
 * of this term.
 */
function tellLeader(state: RaftState, snapshot: SnapshotOffer, matchIndex: LogIndex): void {
  const { from, term } = snapshot;
  const leader = state.leader ?? (term === state.currentTerm ? from : null);
  if (leader !== null) acknowledge(state, leader, matchIndex);
}

/** Is all of it here? Then all of it is committed here, too. */
function bringsNothing(state: RaftState, position: LogPosition): boolean {
  if (position.index <= state.commitIndex) return true;
  if (!state.log.holds(position)) return false;
  state.commitTo(position.index);
  return true;
}

/** State and log on disk begin with the snapshot: so does all that is known here. */
export function snapshotInstalled(state: RaftState, position: LogPosition): void {
  const { installing } = state;
  assert(
    installing?.position.index === position.index && installing.position.term === position.term,
    `the snapshot through ${position.index} was asked to be installed`,
  );
  state.installing = null;
  state.resetLog(position);
  adoptConfiguration(state, installing.configuration);
  tell(state, 'installed', installing.from, position.index);
  tellLeader(state, installing, position.index);
}

function tell(
  state: RaftState,
  phase: 'needed' | 'sent' | 'failed' | 'ignored' | 'installing' | 'installed',
  member: MemberId,
  index: LogIndex,
): void {
  state.outbox.tell({ type: 'snapshot', phase, member, index });
}
