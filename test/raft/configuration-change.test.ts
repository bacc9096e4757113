import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formedWith, isVoter } from '../../src/raft/configuration.js';
import {
  contradictionIn,
  finalMembers,
  isSame,
  nextMembers,
  promotionOf,
} from '../../src/raft/configuration-change.js';
import { packConfiguration, unpackConfiguration } from '../../src/raft/configuration-codec.js';
import type { ConfigurationChange } from '../../src/raft/types.js';
import { haveDisjointQuorums } from './naive-quorums.js';

const NOW = formedWith(['n1', 'n2', 'n3'], {
  learners: ['n4'],
  promotions: [{ member: 'n4', replaces: 'n3' }],
  addresses: [
    { member: 'n3', address: 'c:3' },
    { member: 'n4', address: 'd:4' },
  ],
});

function change(fields: Partial<ConfigurationChange>): ConfigurationChange {
  const { index: expectedIndex, ...members } = NOW;
  return { expectedIndex, ...members, ...fields };
}

describe('a change that contradicts itself', () => {
  const cases: readonly [string, Partial<ConfigurationChange>, string][] = [
    ['no voters', { voters: [] }, 'nobody would vote'],
    ['a voter twice', { voters: ['n1', 'n1', 'n3'] }, 'n1 is named twice'],
    ['a voter that is a learner', { voters: ['n1', 'n4'] }, 'n4 is named twice'],
    ['a promotion of no learner', { learners: [] }, 'n4 is to be promoted and is no learner'],
    [
      'a promotion of who votes now',
      { voters: ['n1', 'n2'], learners: ['n3'], promotions: [{ member: 'n3', replaces: null }] },
      'n3 is to lose its vote and to get it',
    ],
    [
      'two that replace one',
      {
        learners: ['n4', 'n5'],
        promotions: [
          { member: 'n4', replaces: 'n3' },
          { member: 'n5', replaces: 'n3' },
        ],
      },
      'n3 is named twice',
    ],
    [
      'one that replaces a stranger',
      { promotions: [{ member: 'n4', replaces: 'n8' }] },
      'n8, to be replaced by n4, is no member',
    ],
    [
      'one that replaces itself',
      { promotions: [{ member: 'n4', replaces: 'n4' }] },
      'n4 is to be promoted and replaced',
    ],
    [
      'two places of one member',
      { addresses: [NOW.addresses[0], { member: 'n3', address: 'x:9' }].flatMap((a) => a ?? []) },
      'n3 is named twice',
    ],
  ];
  for (const [name, fields, message] of cases) {
    test(`is refused: ${name}`, () => {
      expect(contradictionIn(NOW, change(fields))).toBe(message);
    });
  }

  test('one that does not is not', () => {
    expect(contradictionIn(NOW, change({}))).toBeNull();
    // Whom it replaces leaves by the same change: that is no contradiction.
    expect(contradictionIn(NOW, change({ voters: ['n1', 'n2'] }))).toBeNull();
  });
});

describe('the next configuration', () => {
  test('is joint when the voters change; demoted voters become learners when it is left', () => {
    const joint = nextMembers(NOW, change({ voters: ['n1', 'n2'], learners: ['n3', 'n4'] }));
    expect(joint).toMatchObject({
      voters: ['n1', 'n2'],
      votersOutgoing: ['n1', 'n2', 'n3'],
      learners: ['n4'],
      learnersNext: ['n3'],
    });
    expect(finalMembers({ index: 5, ...joint })).toMatchObject({
      voters: ['n1', 'n2'],
      votersOutgoing: [],
      learners: ['n4', 'n3'],
      learnersNext: [],
    });
  });

  test('keeps the place of who leaves for as long as it is needed', () => {
    const addresses = [{ member: 'n4', address: 'new:4' }];
    const joint = nextMembers(NOW, change({ voters: ['n1', 'n2'], addresses }));
    expect(joint.addresses).toEqual([
      { member: 'n4', address: 'new:4' },
      { member: 'n3', address: 'c:3' },
    ]);
    expect(finalMembers({ index: 5, ...joint }).addresses).toEqual(addresses);
  });

  test('a promotion for who has left replaces nobody', () => {
    const joint = nextMembers(NOW, change({ voters: ['n1', 'n2'] }));
    expect(joint.promotions).toEqual([{ member: 'n4', replaces: null }]);
  });

  test('a promotion takes the place of whom it replaces', () => {
    const promoted = promotionOf(NOW, NOW.promotions);
    expect(promoted).toMatchObject({ voters: ['n1', 'n2', 'n4'], learners: [], promotions: [] });
  });

  test('is the same in any order of its members', () => {
    expect(isSame(NOW, nextMembers(NOW, change({ voters: ['n3', 'n1', 'n2'] })))).toBe(true);
    expect(isSame(NOW, nextMembers(NOW, change({ promotions: [] })))).toBe(false);
    expect(isSame(NOW, nextMembers(NOW, change({ addresses: [] })))).toBe(false);
  });
});

describe('any change that is not refused', () => {
  const ids = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'];
  const some = (minLength = 0) => fc.uniqueArray(fc.constantFrom(...ids), { minLength });

  test('leads to a joint configuration that decides nothing apart from those before and after', () => {
    let joints = 0;
    fc.assert(
      fc.property(some(1), some(1), some(), (before, voters, rest) => {
        const now = formedWith(before);
        const learners = rest.filter((member) => !voters.includes(member));
        const asked = { ...change({ voters, learners, promotions: [], addresses: [] }) };
        expect(contradictionIn(now, asked)).toBeNull();
        const next = { index: 1, ...nextMembers(now, asked) };
        const last = next.votersOutgoing.length > 0 ? { index: 2, ...finalMembers(next) } : next;
        if (next !== last) joints += 1;
        expect(haveDisjointQuorums(now, next) || haveDisjointQuorums(next, last)).toBe(false);
        expect(new Set(last.voters)).toEqual(new Set(voters));
        expect(new Set(last.learners)).toEqual(new Set(learners));
        expect(next.learners.some((member) => isVoter(next, member))).toBe(false);
        expect(unpackConfiguration(packConfiguration(next), 1)).toEqual(next);
      }),
      { seed: 20_261_122, numRuns: 2_000 },
    );
    expect(joints).toBeGreaterThan(1_000);
  });
});
