import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formedWith } from '../../src/raft/configuration.js';
import type { Configuration } from '../../src/raft/types.js';
import type { AdminCommand } from '../../src/rpc/protocol.js';
import { parseAdminCommand } from '../../src/server/admin-command.js';
import { toConfigurationChange } from '../../src/server/member-change.js';

type Change = Extract<AdminCommand, { op: 'change-members' }>;

const COMMAND: Change = {
  op: 'change-members',
  expectedIndex: 5,
  add: [],
  promote: [],
  demote: [],
  remove: [],
};
const NEW = { name: 'n4', incarnation: 'd', address: 'h:4', promote: true, replaces: null };
const THREE = formedWith(['n1.a', 'n2.b', 'n3.c'], { index: 5 });

function change(command: Partial<Change>, configuration: Configuration = THREE) {
  const addressOf = (member: string): string =>
    configuration.addresses.find((place) => place.member === member)?.address ??
    `h:${member.slice(1, 2)}`;
  return toConfigurationChange(
    { ...COMMAND, ...command },
    { configuration, addressOf, placeOf: addressOf },
  );
}

describe('what an operator asks for, as members', () => {
  test('a new one is a learner first, and promoted when it has caught up', () => {
    expect(change({ add: [NEW] })).toMatchObject({
      expectedIndex: 5,
      voters: ['n1.a', 'n2.b', 'n3.c'],
      learners: ['n4.d'],
      promotions: [{ member: 'n4.d', replaces: null }],
    });
    expect(change({ add: [{ ...NEW, promote: false }] })?.promotions).toEqual([]);
  });

  test('every change says where all members are', () => {
    expect(change({ add: [NEW] })?.addresses).toEqual([
      { member: 'n1.a', address: 'h:1' },
      { member: 'n2.b', address: 'h:2' },
      { member: 'n3.c', address: 'h:3' },
      { member: 'n4.d', address: 'h:4' },
    ]);
  });

  test('one that replaces a voter leaves it its vote until then', () => {
    expect(change({ add: [{ ...NEW, replaces: 'n3' }] })).toMatchObject({
      voters: ['n1.a', 'n2.b', 'n3.c'],
      promotions: [{ member: 'n4.d', replaces: 'n3.c' }],
    });
  });

  test('one may replace another of its own name, and is told from it by the incarnation', () => {
    const same = { ...NEW, name: 'n3', incarnation: 'x', replaces: 'n3' };
    const both = { ...THREE, learners: ['n3.x'] };
    expect(change({ add: [same] })?.promotions).toEqual([{ member: 'n3.x', replaces: 'n3.c' }]);
    expect(() => change({ remove: ['n3'] }, both)).toThrow(/say n3\.c or n3\.x/);
    expect(change({ remove: ['n3.c'] }, both)?.voters).toEqual(['n1.a', 'n2.b']);
  });

  test('who replaces a learner takes its place at once', () => {
    const configuration = { ...THREE, learners: ['n5.e'] };
    expect(change({ add: [{ ...NEW, replaces: 'n5' }] }, configuration)).toMatchObject({
      learners: ['n4.d'],
      promotions: [{ member: 'n4.d', replaces: null }],
    });
  });

  test('promote, demote and remove move members between the lists', () => {
    const configuration = {
      ...THREE,
      learners: ['n4.d', 'n5.e'],
      promotions: [
        { member: 'n4.d', replaces: 'n1.a' },
        { member: 'n5.e', replaces: 'n3.c' },
      ],
    };
    expect(
      change({ promote: ['n4'], demote: ['n2'], remove: ['n3'] }, configuration),
    ).toMatchObject({
      // n4 takes the vote of n1 now; n5 has nobody to replace any more.
      voters: ['n4.d'],
      learners: ['n5.e', 'n2.b'],
      promotions: [{ member: 'n5.e', replaces: null }],
    });
  });

  test('demoting a learner takes back that it is to vote', () => {
    const promotions = [{ member: 'n4.d', replaces: null }];
    const configuration = { ...THREE, learners: ['n4.d'], promotions };
    expect(change({ demote: ['n4'] }, configuration)).toMatchObject({
      learners: ['n4.d'],
      promotions: [],
    });
  });

  test('what is so already is no change; another address is one', () => {
    const addresses = [{ member: 'n4.d', address: 'h:4' }];
    const configuration = { ...THREE, learners: ['n4.d'], addresses };
    const there = { ...NEW, promote: false };
    expect(change({})).toBeNull();
    expect(change({ add: [there] }, configuration)).toBeNull();
    expect(change({ promote: ['n1'] })).toBeNull();
    const moved = change({ add: [{ ...there, address: 'h:9' }] }, configuration);
    expect(moved?.addresses).toContainEqual({ member: 'n4.d', address: 'h:9' });
  });

  test.each([
    ['nobody of the name', { remove: ['n9'] }, /no member n9; the members are n1, n2, n3/],
    ['one twice', { promote: ['n1'], remove: ['n1'] }, /n1 is named twice/],
    ['a name that is taken', { add: [{ ...NEW, name: 'n1' }] }, /is a member n1 already/],
    [
      'itself as the one to replace',
      { add: [{ ...NEW, name: 'n1', incarnation: 'a', replaces: 'n1' }] },
      /itself/,
    ],
    [
      'a learner for a voter',
      { add: [{ ...NEW, promote: false, replaces: 'n1' }] },
      /must be promoted/,
    ],
  ])('%s is refused', (_what, command, reason) => {
    expect(() => change(command)).toThrow(reason);
  });
});

describe('a command on its way in', () => {
  test('comes out as it went in', () => {
    const transfer = { op: 'transfer', target: 'n1' } as const;
    for (const command of [{ ...COMMAND, add: [NEW] }, transfer]) {
      expect(parseAdminCommand(JSON.stringify(command))).toEqual(command);
    }
  });

  test.each([
    ['{', /not JSON/],
    ['{"op":"burn"}', /op/],
    [JSON.stringify({ ...COMMAND, expectedIndex: -1 }), /expectedIndex/],
    [JSON.stringify({ ...COMMAND, add: [{ ...NEW, address: 'x' }] }), /add\.0\.address/],
    [JSON.stringify({ ...COMMAND, add: [{ ...NEW, address: 'x:0' }] }), /port cannot be 0/],
    [JSON.stringify({ ...COMMAND, add: [{ ...NEW, name: 'a.b' }] }), /add\.0\.name/],
    [JSON.stringify({ ...COMMAND, remove: Array(65).fill('n1') }), /remove/],
  ])('%s is refused and says why', (text, reason) => {
    expect(() => parseAdminCommand(text)).toThrow(reason);
  });

  test('is refused as INVALID_ARGUMENT, whatever it is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        try {
          parseAdminCommand(JSON.stringify(value));
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' });
        }
      }),
      { seed: 1, numRuns: 300 },
    );
  });
});
