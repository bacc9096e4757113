import { unpackConfiguration } from '../../src/raft/configuration-codec.js';
import type { Configuration, Entry, MemberId } from '../../src/raft/types.js';

/** Quorums found by counting and by trying all sets, to compare with. */

export function isQuorumOf(
  configuration: Configuration,
  isIn: (member: MemberId) => boolean,
): boolean {
  const { voters, votersOutgoing } = configuration;
  return (
    isMajorityOf(voters, isIn) &&
    (votersOutgoing.length === 0 || isMajorityOf(votersOutgoing, isIn))
  );
}

function isMajorityOf(members: readonly MemberId[], isIn: (member: MemberId) => boolean): boolean {
  return members.filter(isIn).length * 2 > members.length;
}

const known = new Map<string, boolean>();

/** Could these two decide without knowing of each other? */
export function haveDisjointQuorums(a: Configuration, b: Configuration): boolean {
  const key = JSON.stringify([a.voters, a.votersOutgoing, b.voters, b.votersOutgoing]);
  const result = known.get(key) ?? findDisjointQuorums(a, b);
  known.set(key, result);
  return result;
}

function findDisjointQuorums(a: Configuration, b: Configuration): boolean {
  const all = [...new Set([...a.voters, ...a.votersOutgoing, ...b.voters, ...b.votersOutgoing])];
  for (let set = 0; set < 2 ** all.length; set += 1) {
    const isIn = (member: MemberId): boolean => (set & (1 << all.indexOf(member))) !== 0;
    if (isQuorumOf(a, isIn) && isQuorumOf(b, (member) => !isIn(member))) return true;
  }
  return false;
}

/** The one in effect in this log, if it holds any. */
export function latestConfiguration(entries: readonly Entry[]): Configuration | null {
  const entry = entries.findLast((e) => e.type === 'configuration');
  return entry === undefined ? null : unpackConfiguration(entry.payload, entry.index);
}
