import { describe, expect, test } from 'vitest';
import type { FormedMember, PeerHello } from '../../src/rpc/peer-protocol.js';
import { clusterIdOf, Formation } from '../../src/server/formation.js';
import { memberId } from '../../src/server/member-id.js';

const NAMES = ['n1', 'n2', 'n3'];
const member = (name: string, incarnation = `${name}-disk`) => ({ name, incarnation });

function fresh(name: string, incarnation?: string): Formation {
  return new Formation({
    clusterName: 'c',
    self: member(name, incarnation),
    names: NAMES,
    restored: null,
  });
}

function hello(
  from: Formation,
  self: { name: string; incarnation: string },
  to: string,
): PeerHello {
  return {
    protocolVersion: 1,
    protocolVersionMin: 1,
    clusterName: 'c',
    clusterId: from.formed?.clusterId ?? null,
    name: self.name,
    incarnation: self.incarnation,
    to,
    formation: from.bound,
    refusal: null,
    toIncarnation: null,
    formats: { command: 1, snapshot: 1 },
    joining: null,
    address: null,
    memberAt: null,
  };
}

/** `to` takes in what `from` says. */
function tell(from: Formation, self: FormedMember, to: Formation, name: string): boolean {
  return to.meet(hello(from, self, name));
}

/** n1 and n2 that have formed; n3 has said what they needed, and may not know it. */
function formed(): { n1: Formation; n2: Formation; n3: Formation } {
  const n1 = fresh('n1');
  const n2 = fresh('n2');
  const n3 = fresh('n3');
  for (let round = 0; round < 2; round += 1) {
    tell(n1, member('n1'), n3, 'n3');
    tell(n2, member('n2'), n3, 'n3');
    tell(n1, member('n1'), n2, 'n2');
    tell(n3, member('n3'), n2, 'n2');
    tell(n2, member('n2'), n1, 'n1');
    tell(n3, member('n3'), n1, 'n1');
  }
  return { n1, n2, n3 };
}

describe('forming a cluster', () => {
  test('a fresh member that has met every other one binds itself to their disks', () => {
    const n1 = fresh('n1');
    expect(tell(fresh('n2'), member('n2'), n1, 'n1')).toBe(false);
    expect(n1.missing).toEqual(['n3']);
    expect(tell(fresh('n3'), member('n3'), n1, 'n1')).toBe(true);
    expect(n1.bound?.map(memberId)).toEqual(['n1.n1-disk', 'n2.n2-disk', 'n3.n3-disk']);
    expect(n1.formed).toBeNull();
    expect(n1.missing).toEqual(['n2', 'n3']);
  });

  test('it is formed when all are bound alike', () => {
    const n1 = fresh('n1');
    const n2 = fresh('n2');
    const n3 = fresh('n3');
    tell(n2, member('n2'), n1, 'n1');
    tell(n3, member('n3'), n1, 'n1');
    // These two have not met each other: they take it from n1.
    expect(tell(n1, member('n1'), n2, 'n2')).toBe(true);
    expect(tell(n1, member('n1'), n3, 'n3')).toBe(true);
    expect(tell(n2, member('n2'), n1, 'n1')).toBe(false);
    expect(n1.formed).toBeNull();
    expect(tell(n3, member('n3'), n1, 'n1')).toBe(true);
    expect(n1.formed?.members).toEqual(n1.bound);
    // And from one that has formed the others learn it at once.
    expect(tell(n1, member('n1'), n2, 'n2')).toBe(true);
    expect(n2.formed).toEqual(n1.formed);
  });

  test('the cluster id depends on the disks', () => {
    const disks = NAMES.map((name) => member(name));
    const other = [...disks.slice(0, 2), member('n3', 'another')];
    expect(clusterIdOf('c', disks)).not.toBe(clusterIdOf('c', other));
    expect(clusterIdOf('c', disks)).toBe(clusterIdOf('c', [...disks].reverse()));
  });

  test('two processes of one name never make two clusters of it', () => {
    // n2 hears n1 of one disk last, n3 that of the other.
    const n2 = fresh('n2');
    const n3 = fresh('n3');
    const one = fresh('n1', 'one');
    const two = fresh('n1', 'two');
    tell(two, member('n1', 'two'), n2, 'n2');
    tell(one, member('n1', 'one'), n2, 'n2');
    tell(one, member('n1', 'one'), n3, 'n3');
    tell(two, member('n1', 'two'), n3, 'n3');
    tell(n3, member('n3'), n2, 'n2');
    expect(() => tell(n2, member('n2'), n3, 'n3')).not.toThrow();
    // n3 is bound to what n2 is bound to, and knows the other one for a stranger.
    expect(n3.bound).toEqual(n2.bound);
    expect(() => tell(two, member('n1', 'two'), n3, 'n3')).toThrow(/must not vote again/);
    expect(n2.formed ?? n3.formed).toBeNull();
  });

  test('members that are bound to different disks do not form', () => {
    const n2 = fresh('n2');
    const n3 = fresh('n3');
    tell(fresh('n1', 'one'), member('n1', 'one'), n2, 'n2');
    tell(fresh('n1', 'two'), member('n1', 'two'), n3, 'n3');
    const unbound = fresh('n3');
    tell(fresh('n2'), member('n2'), n3, 'n3');
    tell(unbound, member('n3'), n2, 'n2');
    expect(() => tell(n2, member('n2'), n3, 'n3')).toThrow(/formed apart/);
    expect(() => tell(n3, member('n3'), n2, 'n2')).toThrow(/formed apart/);
  });

  test('what a member is bound to outlives its process', () => {
    const { n1 } = formed();
    const members = n1.bound ?? [];
    const restored = { members, isFormed: false };
    const again = new Formation({ clusterName: 'c', self: member('n1'), names: NAMES, restored });
    const wiped = fresh('n2', 'new-disk');
    expect(() => tell(wiped, member('n2', 'new-disk'), again, 'n1')).toThrow(/must not vote again/);
    expect(again.formed).toBeNull();
  });
});

describe('a wiped disk', () => {
  test('is refused by the members of the formed cluster', () => {
    const wiped = fresh('n2', 'new-disk');
    expect(() => tell(wiped, member('n2', 'new-disk'), formed().n1, 'n1')).toThrow(
      /wiped member must not vote again/,
    );
  });

  test('learns from the first member of the formed cluster that it is not one of them', () => {
    const n2 = fresh('n2', 'new-disk');
    expect(() => tell(formed().n1, member('n1'), n2, 'n2')).toThrow(/formed without this data/);
    expect(n2.bound).toBeNull();
  });

  test('does not form a second cluster with a member that did not hear of the first', () => {
    // n1 and n2 have formed and acknowledged writes while n3 was cut off; now n1 is off, and n2 comes
    // back wiped and meets n3, which had met n1.
    const { n1, n2, n3 } = formed();
    expect([n1.formed, n2.formed]).not.toContain(null);
    const wiped = fresh('n2', 'new-disk');
    expect(() => tell(wiped, member('n2', 'new-disk'), n3, 'n3')).toThrow(/must not vote again/);
    expect(() => tell(n3, member('n3'), wiped, 'n2')).toThrow(/formed without this data/);
    expect(wiped.bound).toBeNull();
  });

  test('does not form a second cluster with a member that was never asked', () => {
    const n2 = fresh('n2', 'new-disk');
    expect(tell(fresh('n3'), member('n3'), n2, 'n2')).toBe(false);
    expect(n2.bound).toBeNull();
  });
});

describe('strangers', () => {
  test.each([
    ['another cluster name', { clusterName: 'other' }, /belongs to cluster "other"/],
    ['an unknown name', { name: 'n9' }, /n9 is not another member known to n1/],
    ['its own name', { name: 'n1' }, /n1 is not another member known to n1/],
    ['a wrong address', { to: 'n2' }, /but "n1" listens here/],
  ])('%s is refused with the reason', (_what, change, reason) => {
    const stranger = { ...hello(fresh('n2'), member('n2'), 'n1'), ...change };
    expect(() => fresh('n1').meet(stranger)).toThrow(reason);
  });

  test('a member configured with other members is refused', () => {
    const five = new Formation({
      clusterName: 'c',
      self: member('n2'),
      names: [...NAMES, 'n4', 'n5'],
      restored: null,
    });
    const { n1 } = formed();
    expect(() => five.meet(hello(n1, member('n1'), 'n2'))).toThrow(/configured with the members/);
  });
});
