import type { Configuration, MemberId } from './types.js';

/** The configuration that a cluster is formed with. */
export function formedWith(
  voters: readonly MemberId[],
  more: Partial<Omit<Configuration, 'voters'>> = {},
): Configuration {
  return {
    index: 0,
    voters,
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    promotions: [],
    addresses: [],
    ...more,
  };
}

/** May this member vote and be elected? In a joint configuration, both halves may (paper §6). */
export function isVoter(configuration: Configuration, member: MemberId): boolean {
  return configuration.voters.includes(member) || configuration.votersOutgoing.includes(member);
}

/** Is it a member in any way? */
export function namesMember(configuration: Configuration, member: MemberId): boolean {
  const { learners, learnersNext } = configuration;
  return (
    isVoter(configuration, member) || learners.includes(member) || learnersNext.includes(member)
  );
}

/** Does a decision need a majority of two sets of voters at present (paper §6)? */
export function isJoint(configuration: Configuration): boolean {
  return configuration.votersOutgoing.length > 0;
}

/** All whose vote is asked for, but for `self`; each once, in the configuration's order. */
export function otherVoters(configuration: Configuration, self: MemberId): MemberId[] {
  return without(self, [...configuration.voters, ...configuration.votersOutgoing]);
}

/** All who receive the log, but for `self`; each once, in the configuration's order. */
export function otherMembers(configuration: Configuration, self: MemberId): MemberId[] {
  const { voters, votersOutgoing, learners } = configuration;
  return without(self, [...voters, ...votersOutgoing, ...learners]);
}

/** All who are members in any way; each once, those who vote first. */
export function allMembers(configuration: Configuration): MemberId[] {
  const { voters, votersOutgoing, learners, learnersNext } = configuration;
  return [...new Set([...voters, ...votersOutgoing, ...learners, ...learnersNext])];
}

function without(self: MemberId, members: readonly MemberId[]): MemberId[] {
  return [...new Set(members)].filter((member) => member !== self);
}
