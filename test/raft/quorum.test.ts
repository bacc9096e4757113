import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  isQuorumActive,
  majorityOf,
  quorumReached,
  type VoteResult,
  type Voters,
  voteResult,
} from '../../src/raft/quorum.js';

/** The definitions, by counting, and with no cleverness. */
const naive = {
  isQuorum(voters: Voters, members: ReadonlySet<string>): boolean {
    const halves = [voters.voters, voters.votersOutgoing].filter((half) => half.length > 0);
    return halves.every(
      (half) => half.filter((member) => members.has(member)).length > half.length / 2,
    );
  },
  reached(voters: Voters, values: ReadonlyMap<string, number>): number {
    let best = 0;
    for (const candidate of values.values()) {
      const holders = [...values].filter(([, value]) => value >= candidate);
      const isQuorum = naive.isQuorum(voters, new Set(holders.map(([member]) => member)));
      if (isQuorum && candidate > best) best = candidate;
    }
    return best;
  },
  vote(voters: Voters, votes: ReadonlyMap<string, boolean>): VoteResult {
    const all = [...voters.voters, ...voters.votersOutgoing];
    const granted = all.filter((member) => votes.get(member) === true);
    const possible = all.filter((member) => votes.get(member) !== false);
    if (naive.isQuorum(voters, new Set(granted))) return 'won';
    return naive.isQuorum(voters, new Set(possible)) ? 'pending' : 'lost';
  },
};

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'];
const configurations = fc.record({
  voters: fc.subarray(NAMES, { minLength: 1 }),
  votersOutgoing: fc.oneof(fc.constant([]), fc.subarray(NAMES, { minLength: 1 })),
});
const values = fc.array(fc.oneof(fc.nat(20), fc.nat(2 ** 40)), { minLength: 9, maxLength: 9 });
const votes = fc.array(fc.constantFrom(true, false, undefined), { minLength: 9, maxLength: 9 });

describe('quorums', () => {
  test('a majority is more than half', () => {
    expect([1, 2, 3, 4, 5, 6, 7].map(majorityOf)).toEqual([1, 2, 2, 3, 3, 4, 4]);
  });

  test('numbers are ordered as numbers, not as text', () => {
    const matches = new Map([
      ['a', 9],
      ['b', 10],
      ['c', 100],
    ]);
    const voters = { voters: ['a', 'b', 'c'], votersOutgoing: [] };
    expect(quorumReached(voters, (member) => matches.get(member) ?? 0)).toBe(10);
  });

  test('a joint configuration decides by the smaller of its halves', () => {
    const voters = { voters: ['a', 'b', 'c'], votersOutgoing: ['c', 'd', 'e'] };
    const matches = new Map(Object.entries({ a: 9, b: 9, c: 9, d: 4, e: 3 }));
    expect(quorumReached(voters, (member) => matches.get(member) ?? 0)).toBe(4);
  });

  test('nobody decides nothing', () => {
    const nobody = { voters: [], votersOutgoing: [] };
    expect(quorumReached(nobody, () => 7)).toBe(0);
    expect(voteResult(nobody, () => true)).toBe('pending');
    expect(isQuorumActive(nobody, () => true)).toBe(false);
  });

  test('the value that a quorum reached equals that found by counting', () => {
    fc.assert(
      fc.property(configurations, values, (voters, numbers) => {
        const all = [...new Set([...voters.voters, ...voters.votersOutgoing])];
        const byMember = new Map(
          all.map((member) => [member, numbers[NAMES.indexOf(member)] ?? 0]),
        );
        expect(quorumReached(voters, (member) => byMember.get(member) ?? 0)).toBe(
          naive.reached(voters, byMember),
        );
      }),
      { seed: 1, numRuns: 2000 },
    );
  });

  test('the result of a vote equals that found by counting', () => {
    fc.assert(
      fc.property(configurations, votes, (voters, cast) => {
        const voteOf = (member: string): boolean | undefined => cast[NAMES.indexOf(member)];
        const byMember = new Map<string, boolean>();
        for (const member of NAMES) {
          const vote = voteOf(member);
          if (vote !== undefined) byMember.set(member, vote);
        }
        expect(voteResult(voters, voteOf)).toBe(naive.vote(voters, byMember));
        expect(isQuorumActive(voters, (member) => voteOf(member) === true)).toBe(
          naive.vote(voters, byMember) === 'won',
        );
      }),
      { seed: 2, numRuns: 2000 },
    );
  });
});
