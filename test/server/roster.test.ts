import { describe, expect, test } from 'vitest';
import { formedWith } from '../../src/raft/configuration.js';
import type { Configuration } from '../../src/raft/types.js';
import { Roster } from '../../src/server/roster.js';
import { wholeHello } from './whole-hello.js';

const self = { name: 'n1', incarnation: 'a' };
const BASE = formedWith(['n1.a', 'n2.b', 'n3.c']);

function roster(base: Configuration = BASE, configured: Record<string, string> = {}): Roster {
  return new Roster(
    { self, address: 'h:1', configured: new Map(Object.entries(configured)) },
    base,
  );
}

const hello = (name: string, incarnation: string, memberAt: number | null) => ({
  name,
  incarnation,
  memberAt,
});

/** A hello of a member of the same cluster. */

describe('where a member is', () => {
  test('says the configuration in effect, else the configuration file, else the member itself', () => {
    const addresses = [{ member: 'n2.b', address: 'new:2' }];
    const members = roster(formedWith(BASE.voters, { addresses }), { n2: 'old:2', n3: 'file:3' });
    members.heard(wholeHello('n3', 'c', 'own:3'));
    expect(members.addressOf('n2.b')).toBe('new:2');
    expect(members.addressOf('n3.c')).toBe('file:3');
    expect(members.addressOf('n4.d')).toBeNull();
    members.heard(wholeHello('n4', 'd', 'own:4'));
    expect(members.addressOf('n4.d')).toBe('own:4');
    expect(members.addressOf('n1.a')).toBe('h:1');
  });

  test('is not where it is dialled when there is a route to it, and only this replica knows', () => {
    const configured = new Map([['n2', 'h:2']]);
    const routes = new Map([['n2', 'tunnel:2']]);
    const members = new Roster({ self, address: 'h:1', configured, routes }, BASE);
    expect(members.target('n2.b')?.address).toBe('tunnel:2');
    expect(members.routeTo('n3.c')).toBeNull();
    expect(members.addressOf('n2.b')).toBe('h:2');
    expect(members.addresses()).toContainEqual({ name: 'n2', address: 'h:2' });
    expect(members.status().members.map((member) => member.address)).toEqual(['h:1', 'h:2', '']);
  });

  test('those whose place nobody knows are not dialled', () => {
    const members = roster(BASE, { n2: 'h:2' });
    expect(members.targets()).toEqual([{ name: 'n2', incarnation: 'b', address: 'h:2' }]);
  });

  test('clients are told of one place for a name: that of the one who votes', () => {
    const members = roster(
      formedWith(BASE.voters, {
        learners: ['n2.x'],
        addresses: [
          { member: 'n2.b', address: 'h:2' },
          { member: 'n2.x', address: 'h:9' },
        ],
      }),
    );
    expect(members.addresses()).toEqual([
      { name: 'n1', address: 'h:1' },
      { name: 'n2', address: 'h:2' },
    ]);
  });
});

describe('a member that was removed', () => {
  const without3 = formedWith(['n1.a', 'n2.b'], { index: 9 });

  test('is told so by who knows a later committed configuration without it', () => {
    const members = roster();
    expect(members.removedAt(hello('n3', 'c', 0))).toBeNull();
    expect(members.update(without3, without3)).toEqual(['n3.c']);
    expect(members.removedAt(hello('n3', 'c', 0))).toBe(9);
    expect(members.removedAt(hello('n2', 'b', 0))).toBeNull();
  });

  test('is not told so by who only has that configuration in effect: it may be rolled back', () => {
    const members = roster();
    expect(members.update(without3, null)).toEqual([]);
    expect(members.removedAt(hello('n3', 'c', 0))).toBeNull();
    expect(members.isCommitted).toBe(false);
  });

  test('is never taken for one that is new by a replica that lags', () => {
    // n4 was added by entry 20; this replica knows the members of entry 9 only.
    const members = roster();
    members.update(without3, without3);
    expect(members.removedAt(hello('n4', 'd', 20))).toBeNull();
    // Or it waits for its first entries, and does not know itself named anywhere.
    expect(members.removedAt(hello('n4', 'd', null))).toBeNull();
  });

  test('an older committed configuration does not take the place of a newer one', () => {
    const members = roster();
    const later = formedWith(['n1.a'], { index: 12 });
    members.update(later, later);
    members.update(later, without3);
    expect(members.memberAt).toBe(12);
    expect(members.removedAt(hello('n2', 'b', 9))).toBe(12);
  });
});

describe('what is told of the members', () => {
  test('names roles, promotions and a joint configuration', () => {
    const configuration: Configuration = {
      index: 7,
      voters: ['n1.a', 'n4.d'],
      votersOutgoing: ['n1.a', 'n2.b'],
      learners: ['n3.c'],
      learnersNext: [],
      promotions: [{ member: 'n3.c', replaces: 'n1.a' }],
      addresses: [],
    };
    const members = roster(configuration);
    expect(members.status()).toEqual({
      index: 7,
      committed: true,
      joint: true,
      members: [
        {
          name: 'n1',
          incarnation: 'a',
          address: 'h:1',
          role: 'voter',
          promote: false,
          replaces: null,
        },
        {
          name: 'n4',
          incarnation: 'd',
          address: '',
          role: 'voter',
          promote: false,
          replaces: null,
        },
        {
          name: 'n2',
          incarnation: 'b',
          address: '',
          role: 'outgoing',
          promote: false,
          replaces: null,
        },
        {
          name: 'n3',
          incarnation: 'c',
          address: '',
          role: 'learner',
          promote: true,
          replaces: 'n1.a',
        },
      ],
    });
  });

  test('formats are those of the last hello; of a guest that has gone nothing is kept', () => {
    const members = roster();
    expect(members.formatsOf('n2.b')).toBeNull();
    members.heard(wholeHello('n2', 'b', 'h:2', 1));
    members.heard(wholeHello('n2', 'b', 'h:2', 2));
    members.heard(wholeHello('n9', 'z', 'h:9', 2));
    members.forget('n2.b');
    members.forget('n9.z');
    expect(members.formatsOf('n2.b')).toEqual({ command: 2, snapshot: 1 });
    expect(members.formatsOf('n9.z')).toBeNull();
  });
});
