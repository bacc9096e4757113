import { otherVoters } from './configuration.js';
import { voteResult } from './quorum.js';
import { startLeading } from './replication.js';
import { becomeFollower, setLeader, setTerm } from './roles.js';
import type { RaftState } from './state.js';
import type { MemberId, RequestVote, RequestVoteReply, TimeoutNow } from './types.js';

/** Elections: paper §5.2, pre-vote of thesis §9.6, the up-to-date rule of paper §5.4.1. */

/**
 * Asks whether an election could be won, before any term is disturbed. A leader stays one; who may
 * not lead does not campaign.
 */
export function campaign(state: RaftState, reason: string): void {
  if (state.leadership !== null) return;
  // Its own vote would break its promise, too. The timer has run out already: asked again with each tick.
  if (state.votesForNobody) return;
  if (!mayCampaign(state)) {
    forgetLeader(state, reason);
    return;
  }
  state.role = 'pre-candidate';
  setLeader(state, null);
  state.votes.clear();
  state.resetElectionTimer();
  hurryOn(state);
  state.tellRole(reason);
  requestVotes(state, { preVote: true, transfer: false });
  // Its own pre-vote changes nothing and waits for nothing.
  recordVote(state, state.id, true);
}

/**
 * For so many election timeouts a member of priority 0 leaves it to others to come forward. Not for
 * good: the only voter that is left must lead, and so must one whose log nobody else may lack (what is
 * committed may be on the disks of such members alone). It hands over as soon as another can lead.
 */
const RELUCTANT_TIMEOUTS = 5;

/** The election timer has run out. */
export function electionTimedOut(state: RaftState): void {
  // Whose ticks are a little behind still hears the leader, and does not answer.
  if (state.leader !== null) askAgainSoon(state);
  state.timeoutsWithoutLeader += 1;
  const waits = state.options.priority === 0 && state.timeoutsWithoutLeader <= RELUCTANT_TIMEOUTS;
  if (waits) forgetLeader(state, 'election-timeout');
  else campaign(state, 'election-timeout');
}

/**
 * The leader of the current term hands leadership over. It has seen that this member has the whole log
 * and stopped taking proposals, so that no pre-vote is needed (thesis §3.10).
 */
export function handleTimeoutNow(state: RaftState, message: TimeoutNow): void {
  const isFromLeader = state.leader === null || state.leader === message.from;
  if (state.leadership !== null || !isFromLeader || !mayCampaign(state)) return;
  becomeCandidate(state, { reason: 'timeout-now', transfer: true });
}

/**
 * Only a voter may lead, not while it waits for a snapshot to take the place of its log, and not on a
 * disk that does not answer. A member that leaves by a configuration that is not committed yet still
 * may: its log may be the longest, so that those who stay need it to be elected first (thesis §4.2.2).
 */
function mayCampaign(state: RaftState): boolean {
  return state.configurations.selfVotes && state.installing === null && !state.diskStalled;
}

/** No leader is heard, and it is not on this member to replace it: others are free to. */
function forgetLeader(state: RaftState, reason: string): void {
  state.resetElectionTimer();
  becomeFollower(state, { term: state.currentTerm, leader: null, reason });
}

/**
 * The connection to the leader broke. It may be alive, so only the wait is shortened: the pre-vote
 * asks the others, who do not answer while they hear the leader. Once per contact with the leader, because
 * without one there is no leader to lose. All notice it at about the same time: each has ticks of its own to come forward in, so
 * that they do not split the votes (and wait for a whole election timeout then).
 */
export function leaderDisconnected(state: RaftState): void {
  const wait = 1 + waitBehindLeader(state);
  askAgainSoon(state);
  setLeader(state, null);
  state.electionTimeout = Math.min(state.electionTimeout, state.electionElapsed + wait);
  state.tellRole('leader-disconnected');
}

/**
 * The leader was lost just now. Who asks for votes before the others have noticed gets no answer: it asks again soon, for one election
 * timeout, and not behind a whole one. A pre-vote disturbs nobody.
 */
function askAgainSoon(state: RaftState): void {
  const { electionTicks } = state.options;
  const ticks = Math.ceil(electionTicks / 4) + waitBehindLeader(state);
  state.hurry = { untilTick: state.now + electionTicks, ticks };
}

/**
 * Ticks that leave those their time who come before this member, going round the voters from the leader on. Where ticks are
 * short it is several for each: an election has to be over in them, and messages are as long under way as ever.
 */
function waitBehindLeader({ leader, id, configuration, options }: RaftState): number {
  const voters = [...new Set([...configuration.voters, ...configuration.votersOutgoing])];
  const count = Math.max(1, voters.length);
  const behind = voters.indexOf(id) - (leader === null ? -1 : voters.indexOf(leader)) - 1;
  const ticks = Math.max(1, Math.floor(options.electionTicks / 8));
  // Later than that is hardly sooner than without a word: of many, some share a place.
  const places = Math.max(2, Math.floor(options.electionTicks / 2 / ticks));
  return ticks * (((behind + count) % count) % places);
}

/**
 * Would an election now disturb a leader that works? (Leader stickiness, thesis §9.6 and §4.2.3:
 * "if a server receives a RequestVote request within the minimum election timeout of hearing from a
 * current leader, it does not update its term or grant its vote".)
 */
export function hearsLeader(state: RaftState): boolean {
  const { leadership, configuration, now } = state;
  const { electionTicks } = state.options;
  if (leadership !== null) {
    return leadership.isNew(now) || leadership.hearsQuorum(configuration, electionTicks, now);
  }
  return state.leader !== null && state.electionElapsed < electionTicks;
}

/** The request is not of an old term, and of the current one unless it is a pre-vote. */
export function handleRequestVote(state: RaftState, message: RequestVote): void {
  const granted = mayGrant(state, message);
  const reply = {
    type: 'RequestVoteReply',
    from: state.id,
    to: message.from,
    preVote: message.preVote,
    granted,
  } as const;
  if (message.preVote) {
    // A granted pre-vote promises nothing. A refusal tells the own term.
    if (granted) state.send({ ...reply, term: message.term });
    else state.sendOnceTermIsDurable({ ...reply, term: state.currentTerm });
    return;
  }
  if (granted) {
    state.votedFor = message.from;
    state.resetElectionTimer();
  }
  state.sendOnceTermIsDurable({ ...reply, term: state.currentTerm });
}

export function handleRequestVoteReply(state: RaftState, message: RequestVoteReply): void {
  const asked = message.preVote ? 'pre-candidate' : 'candidate';
  if (state.role !== asked) return;
  if (message.preVote && message.granted && message.term !== state.currentTerm + 1) return;
  recordVote(state, message.from, message.granted);
  // Another has it, and may win. If the votes are split nobody does, and no more answers come.
  if (message.granted || state.leadership !== null) return;
  hurryOn(state, isUndecided(state) ? Math.ceil(state.options.electionTicks / 2) : 0);
}

/** Who is asked may yet answer, and decide, or is lost as well; but for one, which may be the leader that was lost. */
function isUndecided({ role, configuration, id, votes }: RaftState): boolean {
  if (role === 'follower') return false;
  return otherVoters(configuration, id).filter((member) => !votes.has(member)).length > 1;
}

/**
 * As long as a leader was lost just now, it does not wait for a whole election timeout before it asks (again). Each waits for as long
 * as its place among the others says, so that they do not meet once more.
 */
function hurryOn(state: RaftState, moreTicks = 0): void {
  const { hurry, now, electionElapsed, electionTimeout } = state;
  if (hurry === null || now >= hurry.untilTick) return;
  state.electionTimeout = Math.min(electionTimeout, electionElapsed + hurry.ticks + moreTicks);
}

/** The vote for itself counts once it is on disk (it is a promise like any other). */
export function countOwnVote(state: RaftState): void {
  if (state.role !== 'candidate' || state.votes.has(state.id)) return;
  if (state.votedFor === state.id && state.hardStateIsDurable) recordVote(state, state.id, true);
}

/** Checks that the vote is still free, and that the log of the candidate lacks nothing. */
function mayGrant(state: RaftState, message: RequestVote): boolean {
  const free =
    message.term > state.currentTerm ||
    state.votedFor === message.from ||
    (state.votedFor === null && state.leader === null);
  return free && state.log.isUpToDate(message.lastLog);
}

function recordVote(state: RaftState, member: MemberId, granted: boolean): void {
  if (!state.votes.has(member)) state.votes.set(member, granted);
  const result = voteResult(state.configuration, (voter) => state.votes.get(voter));
  if (result === 'pending') return;
  if (result === 'lost') {
    becomeFollower(state, { term: state.currentTerm, leader: null, reason: 'election-lost' });
  } else if (state.role === 'pre-candidate') {
    becomeCandidate(state, { reason: 'pre-vote-won', transfer: false });
  } else if (state.votes.has(state.id)) {
    state.votes.clear();
    startLeading(state);
  }
}

function becomeCandidate(
  state: RaftState,
  by: { readonly reason: string; readonly transfer: boolean },
): void {
  setTerm(state, state.currentTerm + 1);
  state.votedFor = state.id;
  state.role = 'candidate';
  state.votes.clear();
  state.resetElectionTimer();
  state.tellRole(by.reason);
  requestVotes(state, { preVote: false, transfer: by.transfer });
}

function requestVotes(
  state: RaftState,
  how: { readonly preVote: boolean; readonly transfer: boolean },
): void {
  const { preVote, transfer } = how;
  for (const member of otherVoters(state.configuration, state.id)) {
    const request: RequestVote = {
      type: 'RequestVote',
      from: state.id,
      to: member,
      term: preVote ? state.currentTerm + 1 : state.currentTerm,
      preVote,
      lastLog: state.log.last,
      transfer,
    };
    if (preVote) state.send(request);
    // A candidate that forgot its vote for itself could vote for another in the same term.
    else state.outbox.sendAfterPersist(request);
  }
}
