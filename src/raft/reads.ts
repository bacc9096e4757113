import { unreachable } from '../base/assert.js';
import type { Leadership } from './leadership.js';
import { hasLease } from './lease.js';
import type { ReadOrigin } from './read-index.js';
import type { RaftState } from './state.js';
import type { LogIndex, ReadIndexReply, ReadIndexRequest } from './types.js';

/** A client of this member asks for a read index. */
export function askRead(state: RaftState, id: number, patient = false): void {
  if (isFull(state, patient)) {
    refuseRead(state, id, 'overloaded');
  } else if (state.leadership !== null) {
    state.leadership.reads.ask({ type: 'own', id }, patient);
  } else if (state.leader !== null) {
    state.forwardedReads.ask(id, patient);
  } else {
    refuseRead(state, id, 'no-leader');
  }
}

/** Another member asks. When this one does not lead, or is overloaded, the asker's time runs out. */
export function handleReadIndexRequest(state: RaftState, message: ReadIndexRequest): void {
  if (state.leadership === null) return;
  const { from: member, request, patient = false } = message;
  if (isFull(state, patient)) return;
  state.leadership.reads.ask({ type: 'member', member, request }, patient);
}

export function handleReadIndexReply(state: RaftState, message: ReadIndexReply): void {
  if (message.from !== state.leader) return;
  for (const id of state.forwardedReads.answer(message.request)) {
    state.outbox.answerRead({ id, ok: true, index: message.index });
  }
}

/** Sends one request for all reads of this step that a follower has to forward. */
export function forwardReads(state: RaftState): void {
  if (state.leader === null || state.leadership !== null) return;
  const { hurried } = state.forwardedReads;
  const request = state.forwardedReads.start(state.now);
  if (request === null) return;
  state.send({
    type: 'ReadIndex',
    from: state.id,
    to: state.leader,
    term: state.currentTerm,
    request,
    ...(hurried ? {} : { patient: true }),
  });
}

/**
 * Starts one round for all reads of this step, once the leader knows what is committed; with a lease
 * they are answered at once.
 */
export function startReadRound(state: RaftState, leadership: Leadership): void {
  // Paper §8: before an entry of its own term is committed, a leader may not know the latest commits.
  if (state.commitIndex < leadership.firstIndex) return;
  if (leadership.reads.size > 0 && hasLease(state, leadership)) {
    // No other leads: nothing can be committed elsewhere.
    for (const origin of leadership.reads.drain()) answerRead(state, origin, state.commitIndex);
    return;
  }
  const { hurried } = leadership.reads;
  // Where nobody is in a hurry, the heartbeats that are due next carry the round.
  if (leadership.reads.start(state.commitIndex) && hurried) leadership.heartbeatDue = true;
}

/** Answers the reads whose round a quorum has confirmed. */
export function answerConfirmedReads(state: RaftState, leadership: Leadership): void {
  if (leadership.reads.size === 0) return;
  const round = leadership.confirmedRound(state.configuration);
  for (const batch of leadership.reads.confirm(round)) {
    for (const origin of batch.origins) answerRead(state, origin, batch.index);
  }
}

/** A leader steps down: whatever it has not confirmed, it no longer can. */
export function dropReads(state: RaftState): void {
  for (const origin of state.leadership?.reads.drain() ?? []) {
    // Members learn of it by the new term, or by their timer.
    if (origin.type === 'own') refuseRead(state, origin.id, 'lost-leadership');
  }
}

/** The leader that was asked leads no more, or it is not known whether it does. */
export function failForwardedReads(state: RaftState): void {
  for (const id of state.forwardedReads.drain()) refuseRead(state, id, 'lost-leadership');
}

/** Fails the reads to which the leader gave no answer within an election timeout. */
export function expireForwardedReads(state: RaftState): void {
  if (state.forwardedReads.size === 0) return;
  const expired = state.forwardedReads.expire(state.now - state.options.electionTicks);
  for (const id of expired) refuseRead(state, id, 'lost-leadership');
}

function answerRead(state: RaftState, origin: ReadOrigin, index: LogIndex): void {
  switch (origin.type) {
    case 'own':
      state.outbox.answerRead({ id: origin.id, ok: true, index });
      break;
    case 'member':
      state.send({
        type: 'ReadIndexReply',
        from: state.id,
        to: origin.member,
        term: state.currentTerm,
        request: origin.request,
        index,
      });
      break;
    default:
      unreachable(origin);
  }
}

function refuseRead(
  state: RaftState,
  id: number,
  reason: 'no-leader' | 'lost-leadership' | 'overloaded',
): void {
  state.outbox.answerRead({ id, ok: false, reason, leader: state.leader });
}

/** Patient reads are the replicas' own: they must not take the places of clients', nor the other way round. */
function isFull({ forwardedReads, leadership, options }: RaftState, patient: boolean): boolean {
  const ofReplicas = forwardedReads.patient + (leadership?.reads.patient ?? 0);
  const all = forwardedReads.size + (leadership?.reads.size ?? 0);
  return (patient ? ofReplicas : all - ofReplicas) >= options.limits.pendingReadsMax;
}
