import { isJoint } from './configuration.js';
import {
  contradictionIn,
  finalMembers,
  isSame,
  type Members,
  nextMembers,
  promotionOf,
} from './configuration-change.js';
import { packConfiguration } from './configuration-codec.js';
import type { Leadership } from './leadership.js';
import { appendOwn } from './own-entries.js';
import { isQuorumActive } from './quorum.js';
import type { RaftState } from './state.js';
import { abortTransfer, bestTarget, handOver, isClosing, mayHandOver } from './transfer.js';
import type {
  ChangeRefusal,
  ConfigurationChange,
  LogPosition,
  MemberId,
  Promotion,
} from './types.js';

/** The leader's side of membership changes: joint consensus (paper §6), learners (thesis §4.2.1). */

interface Refusal {
  readonly reason: ChangeRefusal;
  readonly message: string;
}

/** For how many election timeouts a learner that is ready waits for others that will be soon. */
const PROMOTION_WAIT_TIMEOUTS = 20;

export function changeConfiguration(
  state: RaftState,
  id: number,
  change: ConfigurationChange,
): void {
  const { leadership, outbox } = state;
  const result =
    leadership === null
      ? refusal('not-leader', 'only the leader changes the members')
      : tryChange(state, leadership, change);
  if ('index' in result) {
    outbox.answerConfigurationChange({ id, accepted: true, position: result });
  } else {
    const { leader } = state;
    outbox.answerConfigurationChange({ id, accepted: false, leader, ...result });
  }
}

/** At the end of each step of a leader: goes on with what was begun, and promotes who is ready. */
export function advanceMembership(state: RaftState, leadership: Leadership): void {
  const { configuration, commitIndex } = state;
  if (configuration.learners.length > 0) lookAtLearners(state, leadership);
  if (commitIndex < leadership.firstIndex || configuration.index > commitIndex) return;
  if (isJoint(configuration)) {
    // Whoever leads leaves it, also a leader that finds it in its log.
    appendMembers(state, leadership, finalMembers(configuration));
  } else if (configuration.promotions.length > 0 && leadership.transfer === null) {
    promoteReady(state, leadership);
  }
}

function tryChange(
  state: RaftState,
  leadership: Leadership,
  change: ConfigurationChange,
): LogPosition | Refusal {
  const { configuration: current } = state;
  const contradiction = contradictionIn(current, change);
  if (contradiction !== null) return refusal('invalid', contradiction);
  const notNow = refusalForNow(state, leadership, change);
  if (notNow !== null) return notNow;

  const next = nextMembers(current, change);
  if (isSame(current, next)) return positionOf(state, current.index);
  if (next.votersOutgoing.length > 0) {
    const refused = refusalForVoters(state, leadership, next);
    if (refused !== null) return refused;
  }
  const { transfer } = leadership;
  // A target that is to lose its vote cannot take over.
  if (transfer !== null && !next.voters.includes(transfer.target)) {
    abortTransfer(state, 'invalid-target');
  }
  const heir = heirFor(state, leadership, next);
  if (heir === null) return appendMembers(state, leadership, next);
  if (leadership.transfer === null) handOver(state, leadership, heir, 'loses its vote');
  if (isClosing(leadership)) {
    return refusal('transferring', `${state.id} hands leadership to ${heir} first: ask it`);
  }
  return refusal('pending', `${heir}, which is to lead first, has yet to apply what is committed`);
}

/** Is this the time for a change at all? */
function refusalForNow(
  state: RaftState,
  leadership: Leadership,
  change: ConfigurationChange,
): Refusal | null {
  const { configuration: current, commitIndex, log } = state;
  if (commitIndex < leadership.firstIndex) {
    // Else two leaders could make opposite changes of one member each (Ongaro, 2015).
    return refusal('new-leader', 'the leader has not committed an entry of its own term yet');
  }
  if (change.expectedIndex !== current.index) {
    return refusal(
      'conflict',
      `the change was made for configuration ${change.expectedIndex}, in effect is ${current.index}`,
    );
  }
  if (isJoint(current) || current.index > commitIndex) {
    return refusal('pending', `configuration ${current.index} is not finished`);
  }
  const { transfer } = leadership;
  if (transfer !== null && change.voters.includes(transfer.target)) {
    const has = leadership.progressOf(transfer.target)?.matchIndex ?? 0;
    return refusal(
      // As long as this member leads on, there is no other to be asked.
      isClosing(leadership) ? 'transferring' : 'pending',
      `leadership is being handed to ${transfer.target}, which has ${has} of ${log.lastIndex}`,
    );
  }
  return null;
}

/** Could the voters of this joint configuration, and those after it, decide anything now? */
function refusalForVoters(
  state: RaftState,
  leadership: Leadership,
  joint: Members,
): Refusal | null {
  const lacking = joint.voters.filter(
    (member) => !joint.votersOutgoing.includes(member) && !leadership.catchUps.has(member),
  );
  if (lacking.length > 0) {
    return refusal(
      'not-caught-up',
      `${lacking.join(', ')} must have caught up with the log, as a learner, before it votes`,
    );
  }
  if (isHeard(state, leadership, joint)) return null;
  const silent = joint.voters.filter((member) => !leadership.hears(member, state.now)).join(', ');
  const isNew = leadership.isNew(state.now);
  if (isNew) return refusal('new-leader', `the leader is new, and has yet to hear from ${silent}`);
  return refusal('quorum-at-risk', `nothing is heard from ${silent}`);
}

function isHeard(state: RaftState, leadership: Leadership, members: Members): boolean {
  return isQuorumActive(members, (member) => leadership.hears(member, state.now));
}

/** Who is to lead in the place of a leader that loses its vote; `null` if it keeps it, or nobody can. */
function heirFor(state: RaftState, leadership: Leadership, next: Members): MemberId | null {
  if (next.voters.includes(state.id)) return null;
  const staying = next.voters.filter((member) => state.configuration.voters.includes(member));
  return bestTarget(state, leadership, staying);
}

function lookAtLearners(state: RaftState, leadership: Leadership): void {
  const { configuration, now, log } = state;
  leadership.catchUps.retain(configuration.learners);
  for (const member of configuration.learners) {
    const matchIndex = leadership.progressOf(member)?.matchIndex ?? 0;
    leadership.catchUps.look(member, { matchIndex, lastIndex: log.lastIndex, tick: now });
  }
}

function promoteReady(state: RaftState, leadership: Leadership): void {
  const ready = readyPromotions(state, leadership);
  if (ready.length === 0) return;
  const { configuration } = state;
  const next = nextMembers(configuration, promotionOf(configuration, ready));
  // Held back: with these voters a quorum would not be heard from.
  if (!isHeard(state, leadership, next)) return;
  const heir = heirFor(state, leadership, next);
  if (heir === null) appendMembers(state, leadership, next);
  else if (mayHandOver(state, leadership)) {
    handOver(state, leadership, heir, 'is to be replaced');
  }
}

/** Those to promote now, in one change: several replacements cost one joint configuration. */
function readyPromotions(state: RaftState, leadership: Leadership): readonly Promotion[] {
  const { configuration, now, options } = state;
  const alive = configuration.promotions.filter(({ member }) => leadership.hears(member, now));
  const ready = alive.filter(({ member }) => leadership.catchUps.has(member));
  if (ready.length === 0) {
    leadership.promotionSinceTick = null;
    return ready;
  }
  leadership.promotionSinceTick ??= now;
  const waited = now - leadership.promotionSinceTick;
  const waits = waited < PROMOTION_WAIT_TIMEOUTS * options.electionTicks;
  return ready.length < alive.length && waits ? [] : ready;
}

function appendMembers(state: RaftState, leadership: Leadership, members: Members): LogPosition {
  const payload = packConfiguration(members);
  return appendOwn(state, leadership, { type: 'configuration', payload });
}

/** Of an entry that may be gone from the log: then the term is that of the log's start. */
function positionOf(state: RaftState, index: number): LogPosition {
  return { index, term: state.log.termAt(index) ?? state.log.start.term };
}

function refusal(reason: ChangeRefusal, message: string): Refusal {
  return { reason, message };
}
