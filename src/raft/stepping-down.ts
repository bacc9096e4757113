import { isJoint, otherVoters } from './configuration.js';
import type { Leadership } from './leadership.js';
import { sendHeartbeats } from './replication.js';
import { becomeFollower } from './roles.js';
import type { RaftState } from './state.js';
import { bestTarget, sendTimeoutNow } from './transfer.js';

/** When a leader gives up by itself. */

/**
 * A leader that is not among the voters manages the cluster until the configuration without it is
 * committed (paper §6: "the leader steps down once it has committed the C-new log entry").
 */
export function leaveWhenRemoved(state: RaftState): void {
  const { leadership, configuration, commitIndex } = state;
  if (leadership === null || configuration.voters.includes(state.id)) return;
  if (isJoint(configuration) || configuration.index > commitIndex) return;
  stepDown(state, leadership, 'removed');
}

/**
 * A leader whose disk does not answer commits by the disks of the others, while whatever it says of
 * itself waits: clients are better served by another. The only voter has nobody to leave it to.
 */
export function leaveWhenStalled(state: RaftState, leadership: Leadership): void {
  if (!state.diskStalled || otherVoters(state.configuration, state.id).length === 0) return;
  stepDown(state, leadership, 'disk-stalled');
}

/** A leader that hears no quorum can decide nothing: clients had better ask elsewhere. */
export function leaveWithoutQuorum(state: RaftState, leadership: Leadership): void {
  const { electionTicks } = state.options;
  leadership.checkElapsed += 1;
  if (leadership.checkElapsed < electionTicks) return;
  leadership.checkElapsed = 0;
  if (leadership.hearsQuorum(state.configuration, electionTicks, state.now)) return;
  becomeFollower(state, { term: state.currentTerm, leader: null, reason: 'check-quorum' });
}

/** Tells all what is committed, and the best of them to campaign, so that there is no pause. */
function stepDown(state: RaftState, leadership: Leadership, reason: string): void {
  sendHeartbeats(state, leadership);
  const heir = bestTarget(state, leadership, state.configuration.voters);
  if (heir !== null) sendTimeoutNow(state, leadership, heir, reason);
  becomeFollower(state, { term: state.currentTerm, leader: null, reason });
}
