import type {
  ConfigurationAnswer,
  ConfigurationChange,
  MemberId,
  Message,
  Ready,
} from '../../src/raft/types.js';
import {
  appended,
  heartbeatReply,
  leaderOf,
  type Member,
  type MemberSetup,
  ofType,
} from './node-fixture.js';

/** A leader that changes its members, and what its followers say. */

/** These have all that the leader has, on their disks. */
export function acknowledge(leader: Member, ...ids: MemberId[]): Ready {
  const { term, lastIndex: matchIndex } = leader.node;
  return leader.receive(
    ...ids.flatMap((from) => [
      appended({ from, term, matchIndex }),
      heartbeatReply({ from, term }),
    ]),
  );
}

/** A leader that has committed its noop; all others have all of its log. */
export function settledLeader(setup: MemberSetup = {}): Member {
  const leader = leaderOf(setup);
  const others = [...(setup.voters ?? ['n1', 'n2', 'n3']), ...(setup.learners ?? [])];
  acknowledge(leader, ...others.filter((id) => id !== leader.id));
  leader.held = [];
  return leader;
}

/** Asks for the members that it knows, but for these `fields`. */
export function ask(leader: Member, fields: Partial<ConfigurationChange>): Ready {
  const { index: expectedIndex, ...members } = leader.node.configuration;
  const change = { expectedIndex, ...members, ...fields };
  return leader.step({ type: 'change-configuration', id: 7, change });
}

export function answerTo(
  leader: Member,
  fields: Partial<ConfigurationChange>,
): ConfigurationAnswer | undefined {
  return ask(leader, fields).configurationChanges[0];
}

/** The own disk has done all, and these followers have all. */
export function commit(leader: Member, ...ids: MemberId[]): Ready {
  leader.persist();
  return acknowledge(leader, ...ids);
}

/** `voters | outgoing` and so on, without what is empty. */
export function membersOf(member: Member): Record<string, unknown> {
  const { index, ...lists } = member.node.configuration;
  return { index, ...Object.fromEntries(Object.entries(lists).filter(([, l]) => l.length > 0)) };
}

export function timeoutNow(fields: { term: number; from?: MemberId }): Message {
  return { type: 'TimeoutNow', from: 'n2', to: 'n1', ...fields };
}

export function askedToLead(ready: Ready): MemberId[] {
  return ofType(ready.messages, 'TimeoutNow').map((m) => m.to);
}

/** An operator asks for it. */
export function transfer(leader: Member, target: MemberId | null, id = 1): Ready {
  return leader.step({ type: 'transfer', id, target });
}

/** The leader lives on, and all others answer. */
export function pass(leader: Member, ticks: number): Ready[] {
  return Array.from({ length: ticks }, () => {
    const ready = leader.tick();
    const { term } = leader.node;
    leader.receive(heartbeatReply({ from: 'n2', term }), heartbeatReply({ from: 'n3', term }));
    return ready;
  });
}
