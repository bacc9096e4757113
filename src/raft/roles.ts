import { assert } from '../base/assert.js';
import { dropReads, failForwardedReads } from './reads.js';
import type { RaftState } from './state.js';
import { endTransfer } from './transfer.js';
import type { MemberId, Term } from './types.js';

/** Who leads now, as far as this member knows; reads that were forwarded to another are lost. */
export function setLeader(state: RaftState, leader: MemberId | null): void {
  if (state.leader === leader) return;
  state.leader = leader;
  failForwardedReads(state);
}

/** A term begins at this member: no vote, no leader, as yet. */
export function setTerm(state: RaftState, term: Term): void {
  assert(term > state.currentTerm, 'terms only grow');
  state.currentTerm = term;
  state.votedFor = null;
  setLeader(state, null);
}

/**
 * Follows `leader`, or nobody as yet, in `term`. What a leader knew is gone; reads that it had not
 * confirmed are lost, since another may lead already.
 */
export function becomeFollower(
  state: RaftState,
  to: { readonly term: Term; readonly leader: MemberId | null; readonly reason: string },
): void {
  if (to.term > state.currentTerm) setTerm(state, to.term);
  assert(to.term === state.currentTerm, 'nobody returns to an old term');
  // A new term alone is no reason to wait anew: one whose log is too old could hold off all others.
  if (state.role !== 'follower' || to.leader !== null) state.resetElectionTimer();
  state.role = 'follower';
  state.votes.clear();
  setLeader(state, to.leader);
  dropReads(state);
  endTransfer(state);
  state.leadership = null;
  state.tellRole(to.reason);
}
