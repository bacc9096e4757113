import { BalsaError } from '../../../src/base/errors.js';
import type {
  AdminCommand,
  AdminResult,
  MemberAddress,
  MemberStatus,
  MembersStatus,
} from '../../../src/rpc/protocol.js';

/** The members of a fake cluster: changes take effect at once, one index each. */
export class FakeMembers {
  status: MembersStatus;
  /** Every command that took effect. */
  readonly done: AdminCommand[] = [];

  constructor(replicas: readonly { readonly name: string; readonly address: string }[]) {
    const members = replicas.map(({ name, address }) => memberOf(name, address, 'voter'));
    this.status = { index: 0, committed: true, joint: false, members };
  }

  addresses(): MemberAddress[] {
    return this.status.members.map(({ name, address }) => ({ name, address }));
  }

  set(change: Partial<MembersStatus>): void {
    this.status = { ...this.status, ...change };
  }

  carryOut(text: string, cluster: { leader: string | null }): AdminResult | BalsaError {
    const command: AdminCommand = JSON.parse(text);
    if (command.op === 'transfer') {
      cluster.leader = command.target ?? 'n2';
    } else {
      const { index } = this.status;
      if (command.expectedIndex !== index) {
        return new BalsaError('CONFIGURATION_CONFLICT', `the index is ${index}`, {
          outcome: 'not-applied',
        });
      }
      this.set({ index: index + 10, members: changed(this.status.members, command) });
    }
    this.done.push(command);
    return { members: this.status, leader: cluster.leader };
  }
}

export function memberOf(
  name: string,
  address: string,
  role: MemberStatus['role'],
  more: Partial<MemberStatus> = {},
): MemberStatus {
  const incarnation = `${name}-disk`;
  return { name, incarnation, address, role, promote: false, replaces: null, ...more };
}

function changed(
  members: readonly MemberStatus[],
  command: Extract<AdminCommand, { op: 'change-members' }>,
): MemberStatus[] {
  const added = command.add.map(
    ({ name, incarnation, address, promote, replaces }): MemberStatus => {
      return { ...memberOf(name, address, 'learner'), incarnation, promote, replaces };
    },
  );
  const kept = members
    .filter(({ name }) => !command.remove.includes(name))
    .map((member): MemberStatus => {
      if (command.promote.includes(member.name)) return { ...member, role: 'voter' };
      if (command.demote.includes(member.name)) return { ...member, role: 'learner' };
      return member;
    });
  return [...kept, ...added];
}
