import type { Configuration, MemberId } from './types.js';

/**
 * What a majority is, and what it has decided. In a joint configuration (`votersOutgoing` not empty)
 * a decision needs a majority of both halves (paper §6).
 */

export type Voters = Pick<Configuration, 'voters' | 'votersOutgoing'>;

export type VoteResult = 'won' | 'lost' | 'pending';

/** Fewest members of a set of this size that are more than half of it. */
export function majorityOf(size: number): number {
  return Math.floor(size / 2) + 1;
}

/**
 * The greatest number that a quorum has reached: with match indexes, the index that is stored on a
 * quorum; with acknowledged rounds, the round that a quorum confirmed. 0 when nobody votes.
 */
export function quorumReached(voters: Voters, reachedBy: (member: MemberId) => number): number {
  const incoming = majorityReached(voters.voters, reachedBy);
  if (voters.votersOutgoing.length === 0) return incoming;
  return Math.min(incoming, majorityReached(voters.votersOutgoing, reachedBy));
}

function majorityReached(
  members: readonly MemberId[],
  reachedBy: (member: MemberId) => number,
): number {
  if (members.length === 0) return 0;
  // By insertion: they are few, it is asked several times for each entry, and to sort takes a kilobyte each time.
  const descending: number[] = [];
  for (const member of members) {
    const reached = reachedBy(member);
    let place = descending.length;
    while (place > 0 && (descending[place - 1] as number) < reached) {
      descending[place] = descending[place - 1] as number;
      place -= 1;
    }
    descending[place] = reached;
  }
  return descending[majorityOf(members.length) - 1] ?? 0;
}

/** `voteOf` answers `undefined` for a member whose vote has not come. Nobody votes: `pending`. */
export function voteResult(
  voters: Voters,
  voteOf: (member: MemberId) => boolean | undefined,
): VoteResult {
  const incoming = majorityVote(voters.voters, voteOf);
  if (voters.votersOutgoing.length === 0) return incoming;
  const outgoing = majorityVote(voters.votersOutgoing, voteOf);
  if (incoming === 'lost' || outgoing === 'lost') return 'lost';
  return incoming === 'won' && outgoing === 'won' ? 'won' : 'pending';
}

function majorityVote(
  members: readonly MemberId[],
  voteOf: (member: MemberId) => boolean | undefined,
): VoteResult {
  if (members.length === 0) return 'pending';
  let granted = 0;
  let missing = 0;
  for (const member of members) {
    const vote = voteOf(member);
    if (vote === true) granted += 1;
    if (vote === undefined) missing += 1;
  }
  const needed = majorityOf(members.length);
  if (granted >= needed) return 'won';
  return granted + missing >= needed ? 'pending' : 'lost';
}

/** Are enough members active to decide anything? */
export function isQuorumActive(voters: Voters, isActive: (member: MemberId) => boolean): boolean {
  return voteResult(voters, isActive) === 'won';
}
