import { BalsaError } from '../../src/base/errors.js';
import type { ClusterClient, MembersChange } from '../../src/cli/store-client.js';
import type { AdminResult, MemberStatus } from '../../src/rpc/protocol.js';

/** The members of a cluster, which does what it is asked at once; a promotion takes `polls` looks. */
export class FakeMembers {
  members: MemberStatus[];
  index = 5;
  joint = false;
  committed = true;
  leader: string | null = 'n1';
  readonly changes: MembersChange[] = [];
  readonly transfers: (string | null)[] = [];
  /** Looks until a learner that is to vote has caught up. */
  polls = 2;
  /** Called before each change; may throw, or change the members. */
  onChange: (change: MembersChange) => void = () => {};
  /** Called at each look. */
  onLook: () => void = () => {};

  constructor(...names: string[]) {
    this.members = names.map((name, i) => voter(name, `h:${i + 1}`));
  }

  /** Names by role, for expectations: `n1 n2 (n4)` with learners in brackets. */
  get text(): string {
    return this.members
      .map(({ name, role }) => (role === 'learner' ? `(${name})` : name))
      .sort()
      .join(' ');
  }

  readonly client: ClusterClient = {
    members: async () => {
      this.onLook();
      this.#promoteThoseWhoCaughtUp();
      return this.#result();
    },
    change: async (change) => {
      this.changes.push(change);
      this.onChange(change);
      if (change.expectedIndex !== this.index) {
        throw new BalsaError(
          'CONFIGURATION_CONFLICT',
          `the members have changed: their index is ${this.index}, not ${change.expectedIndex}`,
          { outcome: 'not-applied' },
        );
      }
      this.#apply(change);
      return this.#result();
    },
    transfer: async (target) => {
      this.transfers.push(target ?? null);
      this.leader = target ?? 'n2';
      return this.#result();
    },
  };

  #result(): AdminResult {
    const { index, joint, committed, leader } = this;
    return { members: { index, committed, joint, members: [...this.members] }, leader };
  }

  #apply({ add, remove, promote, demote }: MembersChange): void {
    this.index += 1;
    for (const { name, incarnation, address, promote: votes, replaces } of add) {
      const place = replaces === null ? null : `${replaces}.i-${replaces}`;
      this.members.push({
        name,
        incarnation,
        address,
        role: 'learner',
        promote: votes,
        replaces: place,
      });
    }
    this.members = this.members
      .filter(({ name }) => !remove.includes(name))
      .map((member) => {
        if (promote.includes(member.name)) return { ...member, role: 'voter', promote: false };
        return demote.includes(member.name) ? { ...member, role: 'learner' } : member;
      });
  }

  #promoteThoseWhoCaughtUp(): void {
    if (!this.members.some(({ promote }) => promote)) return;
    this.polls -= 1;
    if (this.polls > 0) return;
    const left = this.members.flatMap(({ promote, replaces }) =>
      promote && replaces !== null ? [replaces] : [],
    );
    this.index += 2;
    this.members = this.members
      .filter(({ name, incarnation }) => !left.includes(`${name}.${incarnation}`))
      .map((member) =>
        member.promote ? { ...member, role: 'voter', promote: false, replaces: null } : member,
      );
  }
}

export function voter(name: string, address: string): MemberStatus {
  return {
    name,
    address,
    incarnation: `i-${name}`,
    role: 'voter',
    promote: false,
    replaces: null,
  };
}
