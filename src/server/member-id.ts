import type { MemberId } from '../raft/types.js';
import type { FormedMember } from '../rpc/peer-protocol.js';

/** A member as the consensus module knows it: name and incarnation. */
export function memberId(member: FormedMember): MemberId {
  return `${member.name}.${member.incarnation}`;
}

/** The name by which people and clients know a member. Names have no dots. */
export function nameOf(member: MemberId): string {
  return member.slice(0, member.lastIndexOf('.'));
}

export function incarnationOf(member: MemberId): string {
  return member.slice(member.lastIndexOf('.') + 1);
}
