import { describe, expect, test } from 'vitest';
import type { PeerHello } from '../../src/rpc/protocol.js';
import { clusterIdOf, Formation, memberId } from '../../src/server/formation.js';

const NAMES = ['n1', 'n2', 'n3'];
const member = (name: string, incarnation = `${name}-disk`) => ({ name, incarnation });

function fresh(name: string, incarnation?: string): Formation {
  return new Formation({
    clusterName: 'c',
    self: member(name, incarnation),
    names: NAMES,
    formed: null,
  });
}

function hello(
  from: Formation,
  self: { name: string; incarnation: string },
  to: string,
): PeerHello {
  return {
    protocolVersion: 1,
    clusterName: 'c',
    clusterId: from.formed?.clusterId ?? null,
    name: self.name,
    incarnation: self.incarnation,
    to,
    formation: from.formed?.members ?? null,
    refusal: null,
  };
}

describe('forming a cluster', () => {
  test('a fresh member waits until it has met every other one', () => {
    const n1 = fresh('n1');
    expect(n1.meet(hello(fresh('n2'), member('n2'), 'n1'))).toBeNull();
    expect(n1.missing).toEqual(['n3']);
    const formed = n1.meet(hello(fresh('n3'), member('n3'), 'n1'));
    expect(formed?.members.map(memberId)).toEqual(['n1.n1-disk', 'n2.n2-disk', 'n3.n3-disk']);
  });

  test('all members come to the same cluster id, in whatever order they meet', () => {
    const n1 = fresh('n1');
    n1.meet(hello(fresh('n3'), member('n3'), 'n1'));
    n1.meet(hello(fresh('n2'), member('n2'), 'n1'));
    const n2 = fresh('n2');
    n2.meet(hello(n1, member('n1'), 'n2'));
    expect(n2.formed).toEqual(n1.formed);
  });

  test('the cluster id depends on the disks', () => {
    const disks = NAMES.map((name) => member(name));
    const other = [...disks.slice(0, 2), member('n3', 'another')];
    expect(clusterIdOf('c', disks)).not.toBe(clusterIdOf('c', other));
    expect(clusterIdOf('c', disks)).toBe(clusterIdOf('c', [...disks].reverse()));
  });
});

describe('a wiped disk', () => {
  function formedN1(): Formation {
    const n1 = fresh('n1');
    n1.meet(hello(fresh('n2'), member('n2'), 'n1'));
    n1.meet(hello(fresh('n3'), member('n3'), 'n1'));
    return n1;
  }

  test('is refused by the members of the formed cluster', () => {
    const wiped = hello(fresh('n2', 'new-disk'), member('n2', 'new-disk'), 'n1');
    expect(() => formedN1().meet(wiped)).toThrow(/wiped member must not vote again/);
  });

  test('learns from the first member of the formed cluster that it is not one of them', () => {
    const n2 = fresh('n2', 'new-disk');
    expect(() => n2.meet(hello(formedN1(), member('n1'), 'n2'))).toThrow(
      /formed without this data/,
    );
    expect(n2.formed).toBeNull();
  });

  test('does not form a second cluster with a member that was never asked', () => {
    // n3 was off while n1 and n2 formed and acknowledged; n2 comes back wiped and meets n3 only.
    const n2 = fresh('n2', 'new-disk');
    expect(n2.meet(hello(fresh('n3'), member('n3'), 'n2'))).toBeNull();
    expect(n2.formed).toBeNull();
  });
});

describe('strangers', () => {
  test.each([
    ['another cluster name', { clusterName: 'other' }, /belongs to cluster "other"/],
    ['an unknown name', { name: 'n9' }, /n9 is not a member known to n1/],
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
      formed: null,
    });
    const n1 = fresh('n1');
    n1.meet(hello(fresh('n2'), member('n2'), 'n1'));
    n1.meet(hello(fresh('n3'), member('n3'), 'n1'));
    expect(() => five.meet(hello(n1, member('n1'), 'n2'))).toThrow(/configured with the members/);
  });
});
