import { isJoint } from './configuration.js';
import type { Leadership } from './leadership.js';
import type { RaftState } from './state.js';
import type { CoreEvent, LogIndex, MemberId, TransferAnswer } from './types.js';

/** Handing leadership over (thesis §3.10): the leader's side. */

/**
 * A leader waits until the target has applied about as much as there is: what it lacks then, all clients would wait for. Then it stops
 * taking proposals until the target has all of its log, and asks it to campaign.
 */
export interface Transfer {
  readonly target: MemberId;
  readonly sinceTick: number;
  readonly reason: string;
  /** What was committed when it began. */
  readonly committedIndex: LogIndex;
  /** What was committed when a round began: it is over when the target has applied that. */
  round: { readonly throughIndex: LogIndex; readonly sinceTick: number };
  /** Since when no proposals are taken; `null`: they still are. */
  closedAtTick: number | null;
  /** Who asked for it and waits for the answer; nobody when the leader itself began it. */
  readonly ids: number[];
  /** When it was last asked to campaign, in ticks. */
  askedAtTick: number | null;
}

type Failure = Extract<TransferAnswer, { ok: false }>['reason'];

/** Election timeouts between two hand-overs that one member begins by itself: the first may have failed. */
const PAUSE_TIMEOUTS = 10;

/** A leader makes room for one of higher priority, which nobody waits for. */
const PRIORITY = 'priority';

/** For so many election timeouts a target that has yet to apply much is waited for, while proposals are taken. */
const APPLY_TIMEOUTS = 2;

/** An operator asks for it. `null`: to whom the leader thinks best. */
export function transferLeadership(state: RaftState, id: number, target: MemberId | null): void {
  const { leadership, configuration } = state;
  if (leadership === null) {
    refuse(state, id, 'not-leader');
    return;
  }
  const to = target ?? underWay(leadership) ?? bestTarget(state, leadership, configuration.voters);
  if (to === null) {
    refuse(state, id, 'no-target');
  } else if (!configuration.voters.includes(to)) {
    refuse(state, id, 'invalid-target');
  } else if (leadership.transfer?.target === to) {
    // Asked again while it is under way: one answer for both, and no more time.
    leadership.transfer.ids.push(id);
  } else if (isSilent(state, leadership, to)) {
    refuse(state, id, 'silent-target');
  } else {
    abortTransfer(state, 'superseded');
    if (to === state.id) state.outbox.answerTransfer({ id, ok: true, target: to });
    else startTransfer(state, leadership, { target: to, ids: [id], reason: 'asked' });
  }
}

/** Who does not mind who leads does not disturb what will be over soon; while it waits, somebody may be ready. */
function underWay(leadership: Leadership): MemberId | null {
  return isClosing(leadership) ? (leadership.transfer?.target ?? null) : null;
}

/** It could not take over, and commands would wait for it in vain. */
function isSilent(state: RaftState, leadership: Leadership, target: MemberId): boolean {
  return !leadership.isNew(state.now) && !leadership.hears(target, state.now);
}

export function startTransfer(
  state: RaftState,
  leadership: Leadership,
  to: { readonly target: MemberId; readonly ids: number[]; readonly reason: string },
): void {
  const { target, ids, reason } = to;
  const { now: sinceTick, commitIndex: committedIndex } = state;
  leadership.transfer = {
    ...{ target, ids, reason, sinceTick, committedIndex },
    round: { throughIndex: committedIndex, sinceTick },
    ...{ closedAtTick: null, askedAtTick: null },
  };
  tell(state, 'started', target, reason);
  closeWhenApplied(state, leadership, leadership.transfer);
  // It says how far it is with the next answer.
  if (!isClosing(leadership)) leadership.heartbeatDue = true;
}

/** Leadership is being handed over, and the log must not grow any more. */
export function isClosing({ transfer }: Leadership): boolean {
  return transfer !== null && transfer.closedAtTick !== null;
}

/**
 * A target that is far away never seems to have applied all: it is enough that it applies what was committed a moment ago, as with a
 * learner (thesis §4.2.1). Who is waited for in vain may lead all the same, if it gets on and somebody wants it to.
 */
function closeWhenApplied(state: RaftState, leadership: Leadership, transfer: Transfer): void {
  const { target, round, committedIndex, reason } = transfer;
  const progress = leadership.progressOf(target);
  if (transfer.closedAtTick !== null || progress === undefined) return;
  const isApplied = progress.appliedIndex >= round.throughIndex;
  const isQuick = state.now - round.sinceTick <= state.options.electionTicks / 2;
  const isWanted = isOverdue(state, transfer) && reason !== PRIORITY;
  if (
    hasApplied(state, leadership, target) ||
    (isApplied && isQuick) ||
    (isWanted && progress.matchIndex >= committedIndex)
  ) {
    transfer.closedAtTick = state.now;
  } else if (isApplied) {
    transfer.round = { throughIndex: state.commitIndex, sinceTick: state.now };
  }
}

function isOverdue(state: RaftState, { sinceTick }: Transfer): boolean {
  return state.now - sinceTick >= APPLY_TIMEOUTS * state.options.electionTicks;
}

/** Could it serve soon if it led now? */
function hasApplied(state: RaftState, leadership: Leadership, member: MemberId): boolean {
  const applyLag = leadership.progressOf(member)?.applyLag ?? Number.POSITIVE_INFINITY;
  return applyLag <= state.options.limits.transferLagEntriesMax;
}

/** The leader begins one by itself; so not again too soon. */
export function handOver(
  state: RaftState,
  leadership: Leadership,
  target: MemberId,
  reason: string,
): void {
  const { electionTicks } = state.options;
  state.handOverFromTick = state.now + PAUSE_TIMEOUTS * electionTicks;
  startTransfer(state, leadership, { target, ids: [], reason });
}

/** Is it time for a leader to begin one by itself: has it led for a while, and not tried of late? */
export function mayHandOver(state: RaftState, leadership: Leadership): boolean {
  const { now, handOverFromTick, options } = state;
  return now >= Math.max(leadership.sinceTick + options.electionTicks, handOverFromTick);
}

/**
 * Asks the target to campaign, once it can serve and has the whole log; and again as often as it is sent heartbeats, since the message
 * may be lost. One that campaigns already is in a later term, and ignores it.
 */
export function advanceTransfer(state: RaftState, leadership: Leadership): void {
  const { transfer } = leadership;
  if (transfer === null) return;
  closeWhenApplied(state, leadership, transfer);
  if (transfer.closedAtTick === null) return;
  const { target, askedAtTick } = transfer;
  if (askedAtTick !== null && state.now - askedAtTick < state.options.heartbeatTicks) return;
  const progress = leadership.progressOf(target);
  if (progress === undefined || progress.matchIndex < state.log.lastIndex) return;
  transfer.askedAtTick = state.now;
  sendTimeoutNow(state, leadership, target, askedAtTick === null ? 'has the whole log' : 'again');
}

export function sendTimeoutNow(
  state: RaftState,
  leadership: Leadership,
  to: MemberId,
  reason: string,
): void {
  // From now on another may be elected while followers still keep their promise of a lease.
  leadership.timeoutNowSent = true;
  state.send({ type: 'TimeoutNow', from: state.id, to, term: state.currentTerm });
  tell(state, 'timeout-now', to, reason);
}

/** A target that falls silent, gets no further, or does not take over within an election timeout from when it is to, is given up. */
export function tickTransfer(state: RaftState, leadership: Leadership): void {
  const { transfer } = leadership;
  if (transfer === null) return;
  closeWhenApplied(state, leadership, transfer);
  const { closedAtTick, target } = transfer;
  if (closedAtTick === null) {
    if (isSilent(state, leadership, target)) abortTransfer(state, 'silent-target');
    else if (isOverdue(state, transfer)) abortTransfer(state, 'timeout');
  } else if (state.now - closedAtTick >= state.options.electionTicks) {
    abortTransfer(state, 'timeout');
  }
}

/** The leader goes on leading. */
export function abortTransfer(state: RaftState, reason: Failure): void {
  const transfer = state.leadership?.transfer ?? null;
  if (state.leadership === null || transfer === null) return;
  state.leadership.transfer = null;
  for (const id of transfer.ids) refuse(state, id, reason);
  tell(state, 'aborted', transfer.target, reason);
}

/** The leader leads no more, be it by the transfer or not. */
export function endTransfer(state: RaftState): void {
  const transfer = state.leadership?.transfer ?? null;
  if (state.leadership === null || transfer === null) return;
  if (transfer.askedAtTick === null) {
    abortTransfer(state, 'not-leader');
    return;
  }
  state.leadership.transfer = null;
  for (const id of transfer.ids)
    state.outbox.answerTransfer({ id, ok: true, target: transfer.target });
}

/**
 * Who of these could best lead: one that is heard from, preferably has all that is committed, then one that has applied
 * about as much; then by priority, then by the length of its log, then as they are listed.
 */
export function bestTarget(
  state: RaftState,
  leadership: Leadership,
  among: readonly MemberId[],
): MemberId | null {
  let best: { member: MemberId; rank: readonly number[] } | null = null;
  for (const member of among) {
    if (member === state.id || !leadership.hears(member, state.now)) continue;
    const matchIndex = leadership.progressOf(member)?.matchIndex ?? 0;
    const priority = leadership.priorities.get(member) ?? 0;
    const has = matchIndex >= state.commitIndex ? 1 : 0;
    const rank = [has, hasApplied(state, leadership, member) ? 1 : 0, priority, matchIndex];
    if (best === null || isGreater(rank, best.rank)) best = { member, rank };
  }
  return best?.member ?? null;
}

/** Who has led for a while makes room for a member that had better lead (`RaftOptions.priority`). */
export function handOverByPriority(state: RaftState, leadership: Leadership): void {
  const { configuration, commitIndex } = state;
  if (!mayHandOver(state, leadership) || leadership.transfer !== null) return;
  if (commitIndex < leadership.firstIndex || isJoint(configuration)) return;
  const better = configuration.voters.filter(
    (member) =>
      (leadership.priorities.get(member) ?? 0) > state.options.priority &&
      (leadership.progressOf(member)?.matchIndex ?? 0) >= commitIndex &&
      // It is about to be replaced.
      configuration.promotions.every(({ replaces }) => replaces !== member),
  );
  const target = bestTarget(state, leadership, better);
  if (target !== null) handOver(state, leadership, target, PRIORITY);
}

function isGreater(a: readonly number[], b: readonly number[]): boolean {
  for (let i = 0; i < a.length; i += 1) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return false;
}

function refuse(state: RaftState, id: number, reason: Failure): void {
  state.outbox.answerTransfer({ id, ok: false, reason, leader: state.leader });
}

function tell(
  state: RaftState,
  phase: Extract<CoreEvent, { type: 'transfer' }>['phase'],
  target: MemberId,
  reason: string,
): void {
  state.outbox.tell({ type: 'transfer', phase, target, reason });
}
