import type { AdminCommand, MemberStatus, MembersStatus } from '../rpc/protocol.js';
import { invalid } from './options.js';

type Change = Omit<Extract<AdminCommand, { readonly op: 'change-members' }>, 'op'>;

/** The members are as the change wants them: it was made, or there is nothing to do. */
export function isDone(change: Change, status: MembersStatus): boolean {
  if (status.joint || !status.committed) return false;
  const { members } = status;
  const added = new Set(change.add.map(({ name, incarnation }) => `${name}.${incarnation}`));
  const gone = (name: string): boolean =>
    members.every((member) => !isCalled(member, name) || added.has(idOf(member)));
  return (
    change.add.every((wanted) => isAdded(wanted, members)) &&
    change.promote.every((name) => find(members, name)?.role === 'voter') &&
    change.demote.every((name) => isPlainLearner(find(members, name))) &&
    change.remove.every(gone)
  );
}

/** @throws BalsaError `INVALID_ARGUMENT` when there is none */
export function memberCalled(status: MembersStatus, name: string): MemberStatus {
  const found = find(status.members, name);
  if (found !== undefined) return found;
  const names = [...new Set(status.members.map((member) => member.name))].join(', ');
  throw invalid(`there is no member ${name}; the members are ${names}`);
}

function isAdded(wanted: Change['add'][number], members: readonly MemberStatus[]): boolean {
  const found = members.find(
    (member) => member.name === wanted.name && member.incarnation === wanted.incarnation,
  );
  if (found === undefined || found.address !== wanted.address) return false;
  return found.role === 'voter' || found.promote === wanted.promote;
}

function isPlainLearner(member: MemberStatus | undefined): boolean {
  return member?.role === 'learner' && !member.promote;
}

function find(members: readonly MemberStatus[], name: string): MemberStatus | undefined {
  return members.find((member) => isCalled(member, name));
}

/** By its name, or by name and incarnation. */
function isCalled(member: MemberStatus, name: string): boolean {
  return member.name === name || idOf(member) === name;
}

function idOf({ name, incarnation }: MemberStatus): string {
  return `${name}.${incarnation}`;
}
