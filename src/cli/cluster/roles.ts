import type { Command } from 'commander';
import type { MemberStatus, MembersStatus } from '../../rpc/protocol.js';
import { newCommand, onRun, type Runtime } from '../command.js';
import {
  addChangeFlags,
  type ChangeFlags,
  findMember,
  inWords,
  memberCalled,
  NO_CHANGE,
  type Plan,
  runChange,
} from './change.js';

/** Commands that change what members are: each takes names, and makes one change of all. */

interface RolesSetup {
  readonly name: 'remove' | 'promote' | 'demote';
  readonly summary: string;
  readonly examples: readonly string[];
  /** Whether the member is as asked for already; then it is left out. */
  readonly isSo: (member: MemberStatus) => boolean;
  /** `n4 has left`, for one and for several. */
  readonly complete: readonly [one: string, several: string];
}

export function removeCommand(runtime: Runtime): Command {
  return rolesCommand(runtime, {
    name: 'remove',
    summary: 'Take members out; a leader hands the leadership over first',
    examples: ['balsa cluster remove n4', 'balsa cluster remove n4 n5'],
    isSo: () => false,
    complete: ['has left: its process stops, its folder is of no more use', 'have left'],
  });
}

export function promoteCommand(runtime: Runtime): Command {
  return rolesCommand(runtime, {
    name: 'promote',
    summary: 'Give learners a vote; they must have caught up',
    examples: ['balsa cluster promote n4', 'balsa cluster promote n4 n5'],
    isSo: ({ role }) => role === 'voter',
    complete: ['has a vote', 'have votes'],
  });
}

export function demoteCommand(runtime: Runtime): Command {
  return rolesCommand(runtime, {
    name: 'demote',
    summary: 'Make voters learners: they keep the data and lose the vote',
    examples: ['balsa cluster demote n3', 'balsa cluster demote n3 --expect-index 1207'],
    isSo: ({ role, promote }) => role === 'learner' && !promote,
    complete: ['is a learner', 'are learners'],
  });
}

function rolesCommand(runtime: Runtime, setup: RolesSetup): Command {
  const command = newCommand(setup).argument('<name...>', 'members');
  return onRun<ChangeFlags>(addChangeFlags(command), runtime, (context, _args, flags) => {
    const names = [...new Set(command.args)];
    return runChange(context, flags, (members, isTried) => {
      const there = names.filter((name) => {
        const isGone = isTried && setup.name === 'remove' && findMember(members, name) === null;
        return !isGone;
      });
      return planRoles(members, { names, there }, setup);
    });
  });
}

function planRoles(
  members: MembersStatus,
  { names, there }: { readonly names: readonly string[]; readonly there: readonly string[] },
  setup: RolesSetup,
): Plan {
  const changed = there.filter((name) => !setup.isSo(memberCalled(members, name)));
  const complete = `${inWords(names)} ${setup.complete[names.length === 1 ? 0 : 1]}`;
  const change = changed.length === 0 ? null : { ...NO_CHANGE, [setup.name]: changed };
  return { change, decided: complete, complete, awaited: [] };
}
