import type { Configuration, MemberId } from '../../src/raft/types.js';

/** Quorums by their definition: small and slow, and not the code under test. */

function isMajority(voters: readonly MemberId[], members: ReadonlySet<MemberId>): boolean {
  const count = voters.filter((voter) => members.has(voter)).length;
  return count * 2 > voters.length;
}

/** Can these members decide? In a joint configuration a majority of each half is needed (paper §6). */
export function isQuorum(configuration: Configuration, members: ReadonlySet<MemberId>): boolean {
  const { voters, votersOutgoing } = configuration;
  if (!isMajority(voters, members)) return false;
  return votersOutgoing.length === 0 || isMajority(votersOutgoing, members);
}

/** What a configuration becomes when learners get their vote as soon as they have caught up: one, or all of them. */
export function withPromotions(configuration: Configuration): Configuration[] {
  const { voters, promotions } = configuration;
  const after = (done: Configuration['promotions']): Configuration => {
    const gone = new Set(done.map(({ replaces }) => replaces));
    const stay = voters.filter((voter) => !gone.has(voter));
    return { ...configuration, voters: [...stay, ...done.map(({ member }) => member)] };
  };
  return [
    ...promotions.map((one) => after([one])),
    ...(promotions.length > 1 ? [after(promotions)] : []),
  ];
}

/** Two sets without a common member, one a quorum of each: both could decide. In words; `null`: none. */
export function disjointQuorums(a: Configuration, b: Configuration): string | null {
  const all = [...new Set([...a.voters, ...a.votersOutgoing, ...b.voters, ...b.votersOutgoing])];
  for (let mask = 0; mask < 2 ** all.length; mask += 1) {
    const one = new Set(all.filter((_, i) => (mask >> i) & 1));
    const other = new Set(all.filter((_, i) => !((mask >> i) & 1)));
    if (isQuorum(a, one) && isQuorum(b, other)) {
      return `${[...one].join()} and ${[...other].join()} can decide without each other`;
    }
  }
  return null;
}
