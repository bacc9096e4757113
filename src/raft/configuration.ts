import type { Configuration, MemberId } from './types.js';

/** May this member vote and be elected? In a joint configuration, both halves may (paper §6). */
export function isVoter(configuration: Configuration, member: MemberId): boolean {
  return configuration.voters.includes(member) || configuration.votersOutgoing.includes(member);
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

function without(self: MemberId, members: readonly MemberId[]): MemberId[] {
  return [...new Set(members)].filter((member) => member !== self);
}
