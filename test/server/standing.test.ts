import { describe, expect, test } from 'vitest';
import { formedWith } from '../../src/raft/configuration.js';
import type { PeerHello } from '../../src/rpc/peer-protocol.js';
import { OWN_VERSIONS } from '../../src/rpc/version.js';
import { Roster } from '../../src/server/roster.js';
import { Standing } from '../../src/server/standing.js';

const FOUNDERS = [
  { name: 'n1', incarnation: 'a' },
  { name: 'n2', incarnation: 'b' },
];
const MEMBER = { clusterId: 'id', formation: FOUNDERS, joining: null };
const self = { name: 'n1', incarnation: 'a' };

function standing(restored: ConstructorParameters<typeof Standing>[0]['restored']): Standing {
  return new Standing({ clusterName: 'c', self, names: ['n1', 'n2'], restored });
}

function hello(change: Partial<PeerHello> = {}): PeerHello {
  return {
    ...OWN_VERSIONS,
    clusterName: 'c',
    clusterId: 'id',
    name: 'n2',
    incarnation: 'b',
    to: 'n1',
    formation: FOUNDERS,
    refusal: null,
    toIncarnation: null,
    formats: { command: 1, snapshot: 1 },
    joining: null,
    address: 'h:2',
    memberAt: 0,
    ...change,
  };
}

function codeOf(work: () => unknown): string {
  try {
    work();
    return 'none';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe('a member of a cluster', () => {
  test('hears every replica of its cluster, whoever the members are by now', () => {
    const one = standing(MEMBER);
    expect(one.meet(hello({ name: 'n9', incarnation: 'z', memberAt: null }), null)).toBe(false);
    expect(one.cluster?.clusterId).toBe('id');
  });

  test('keeps the id that its folder names, which may be another than the founders had', () => {
    expect(standing({ ...MEMBER, clusterId: 'recovered' }).cluster).toEqual({
      clusterId: 'recovered',
      members: FOUNDERS,
    });
  });

  test('hears one that waits to be let in, but not one that was wiped and says nothing of it', () => {
    const one = standing(MEMBER);
    const fresh = { clusterId: null, formation: null, incarnation: 'wiped' };
    const joining = { address: 'h:2', replaces: 'b' };
    expect(one.meet(hello({ ...fresh, joining }), null)).toBe(false);
    expect(() => one.meet(hello(fresh), null)).toThrow(
      /wiped member must not vote again.*--reseed/,
    );
    // A founding member that has not heard of the last step of the forming.
    expect(one.meet(hello({ ...fresh, incarnation: 'b' }), null)).toBe(false);
  });

  test('tells one that was removed', () => {
    const options = { self, address: 'h:1', configured: new Map() };
    const roster = new Roster(options, formedWith(['n1.a'], { index: 4 }));
    expect(codeOf(() => standing(MEMBER).meet(hello(), roster))).toBe('MEMBER_REMOVED');
    expect(codeOf(() => standing(MEMBER).meet(hello({ memberAt: 5 }), roster))).toBe('none');
  });

  test.each([
    ['another cluster', { clusterId: 'other' }, 'CLUSTER_MISMATCH'],
    ['a cluster of another name', { clusterName: 'd' }, 'CLUSTER_MISMATCH'],
    ['its own name', { name: 'n1' }, 'MEMBER_MISMATCH'],
    ['a wrong address', { to: 'n3' }, 'MEMBER_MISMATCH'],
    ['a former incarnation of itself', { toIncarnation: 'x' }, 'MEMBER_MISMATCH'],
    ['a cluster without members', { formation: null }, 'FRAME_INVALID'],
  ])('refuses %s', (_what, change, code) => {
    expect(codeOf(() => standing(MEMBER).meet(hello(change), null))).toBe(code);
  });
});

describe('a replica that waits to be let in', () => {
  const waiting = () => standing({ clusterId: null, formation: null, joining: { replaces: null } });

  test('is bound by a member that calls it by its data folder, once', () => {
    const one = waiting();
    expect(one.meet(hello(), null)).toBe(false);
    expect(one.joining).not.toBeNull();
    expect(one.meet(hello({ toIncarnation: 'a' }), null)).toBe(true);
    expect([one.cluster?.clusterId, one.bound, one.joining]).toEqual(['id', FOUNDERS, null]);
    expect(one.meet(hello({ toIncarnation: 'a' }), null)).toBe(false);
    const other = hello({ toIncarnation: 'a', clusterId: 'other' });
    expect(codeOf(() => one.meet(other, null))).toBe('CLUSTER_MISMATCH');
  });

  test('is not bound by one that is in no cluster itself, and forms none with it', () => {
    const one = waiting();
    const forming = hello({ toIncarnation: 'a', clusterId: null, formation: null });
    expect(one.meet(forming, null)).toBe(false);
    expect([one.cluster, one.bound, one.missing]).toEqual([null, null, []]);
  });

  test('has no part in the forming of a cluster', () => {
    const founder = standing({ clusterId: null, formation: null, joining: null });
    const joining = { address: 'h:2', replaces: null };
    const asked = hello({ clusterId: null, formation: null, joining });
    expect(founder.meet(asked, null)).toBe(false);
    expect([founder.bound, founder.missing]).toEqual([null, ['n2']]);
  });
});
