import fc from 'fast-check';
import type { MemberId } from '../../src/raft/types.js';
import type { Cluster } from './cluster-harness.js';

/** What schedules may do about snapshots, compaction, slow disks and clocks. */
export type SnapshotAction =
  | {
      readonly type: 'compact';
      readonly member: number;
      readonly trailing: number;
      readonly late: boolean;
    }
  | { readonly type: 'compact-leader'; readonly trailing: number; readonly late: boolean }
  | {
      readonly type: 'snapshot';
      readonly at: number;
      readonly keep: boolean;
      readonly ack: boolean;
    }
  | { readonly type: 'snapshot-fails'; readonly at: number }
  | { readonly type: 'install'; readonly member: number; readonly count: number }
  | { readonly type: 'install-any'; readonly count: number }
  | { readonly type: 'io'; readonly member: number; readonly count: number }
  | { readonly type: 'pass'; readonly ms: number }
  | { readonly type: 'crash-installing'; readonly count: number; readonly start: boolean }
  | {
      readonly type: 'left-behind';
      readonly member: number;
      readonly deliver: number;
      readonly keep: boolean;
      readonly ack: boolean;
    }
  | { readonly type: 'left-behind-leader'; readonly count: number }
  | {
      readonly type: 'cut-off-reader';
      /** Who may follow it. */
      readonly member: number;
      /** The answers to its heartbeats take so long. */
      readonly delayMs: number;
      /** Then it stands still for so long. */
      readonly ms: number;
      /** Ticks of the others in 10 ms. */
      readonly pace: number;
      /** Only `member` has heard it of late. */
      readonly hearsAlone: boolean;
      /** The others start anew meanwhile. */
      readonly restart: boolean;
    };

type Weighted = { readonly weight: number; readonly arbitrary: fc.Arbitrary<SnapshotAction> };

export function snapshotActions(memberCount: number): readonly Weighted[] {
  const member = fc.nat(memberCount - 1);
  const trailing = fc.nat(3);
  const at = fc.nat(5);
  const late = fc.boolean();
  const count = fc.integer({ min: 1, max: 4 });
  const of = <T extends SnapshotAction>(
    weight: number,
    type: T['type'],
    fields: { [K in Exclude<keyof T, 'type'>]: fc.Arbitrary<T[K]> },
  ): Weighted => ({
    weight,
    arbitrary: fc.record({ type: fc.constant(type), ...fields }) as unknown as fc.Arbitrary<T>,
  });
  type Of<T extends SnapshotAction['type']> = Extract<SnapshotAction, { type: T }>;
  return [
    of<Of<'compact'>>(3, 'compact', { member, trailing, late }),
    of<Of<'compact-leader'>>(3, 'compact-leader', { trailing, late }),
    of<Of<'snapshot'>>(5, 'snapshot', { at, keep: fc.boolean(), ack: fc.boolean() }),
    of<Of<'snapshot-fails'>>(1, 'snapshot-fails', { at }),
    of<Of<'install'>>(3, 'install', { member, count }),
    of<Of<'install-any'>>(3, 'install-any', { count }),
    of<Of<'io'>>(4, 'io', { member, count }),
    of<Of<'left-behind-leader'>>(1, 'left-behind-leader', { count: fc.nat(12) }),
    of<Of<'crash-installing'>>(2, 'crash-installing', { count: fc.nat(3), start: fc.boolean() }),
    of<Of<'left-behind'>>(3, 'left-behind', {
      member,
      deliver: fc.nat(40),
      keep: fc.boolean(),
      ack: fc.boolean(),
    }),
  ];
}

/** Time that passes by itself, and leaders that read while they may be cut off. */
export function clockActions(memberCount: number): readonly Weighted[] {
  const ms = fc.nat(120);
  const reader = fc.record({
    type: fc.constant('cut-off-reader' as const),
    member: fc.nat(memberCount - 1),
    delayMs: fc.oneof(fc.constant(0), fc.nat(100)),
    ms,
    pace: fc.integer({ min: 1, max: 5 }),
    hearsAlone: fc.boolean(),
    restart: fc.boolean(),
  });
  return [
    { weight: 3, arbitrary: fc.record({ type: fc.constant('pass' as const), ms }) },
    { weight: 4, arbitrary: reader },
  ];
}

export function performSnapshotAction(cluster: Cluster, action: SnapshotAction): void {
  const id = (index: number): MemberId => cluster.ids[index % cluster.ids.length] ?? '';
  const leader = cluster.leader();
  const { snapshots } = cluster;
  switch (action.type) {
    case 'compact':
      snapshots.compact(id(action.member), action.trailing, action.late);
      break;
    case 'compact-leader':
      if (leader !== null) snapshots.compact(leader, action.trailing, action.late);
      break;
    case 'snapshot':
      snapshots.deliver(action.at % Math.max(1, snapshots.sendings.length), action);
      break;
    case 'snapshot-fails':
      snapshots.fail(action.at % Math.max(1, snapshots.sendings.length));
      break;
    case 'install':
      for (let i = 0; i < action.count; i += 1) snapshots.install(id(action.member));
      break;
    case 'install-any':
      for (const other of cluster.ids) {
        for (let i = 0; i < action.count; i += 1) snapshots.install(other);
      }
      break;
    case 'io':
      cluster.serveIo(id(action.member), action.count);
      break;
    case 'pass':
      cluster.pass(action.ms);
      break;
    case 'left-behind':
      if (leader !== null) leaveBehind(cluster, leader, id(action.member), action);
      break;
    case 'crash-installing':
      for (const other of cluster.ids) {
        if (cluster.member(other).installing === null) continue;
        for (let i = 0; i < action.count; i += 1) snapshots.install(other);
        cluster.crash(other);
        if (action.start) cluster.start(other);
      }
      break;
    case 'cut-off-reader':
      if (leader !== null) readWhileCutOff(cluster, leader, id(action.member), action);
      break;
    case 'left-behind-leader':
      if (leader !== null) leaveLeaderBehind(cluster, leader, action.count);
      break;
  }
}

/** The others go on without `id`, and the leader gives up what it needs; then all may go its way. */
function leaveBehind(
  cluster: Cluster,
  leader: MemberId,
  id: MemberId,
  how: Extract<SnapshotAction, { type: 'left-behind' }>,
): void {
  if (id === leader) return;
  cluster.isolate(id);
  for (let i = 0; i < 3; i += 1) cluster.propose(leader);
  cluster.settle();
  cluster.snapshots.compact(leader, 0);
  cluster.heal();
  for (let i = 0; i < how.deliver; i += 1) {
    if (cluster.network.length > 0) cluster.deliver(0);
    else cluster.tick(leader);
  }
  cluster.snapshots.deliver(0, how);
}

/** A leader that is cut off appends what is never committed, and the others go on without it. */
function leaveLeaderBehind(cluster: Cluster, leader: MemberId, count: number): void {
  cluster.isolate(leader);
  for (let i = 0; i < count; i += 1) {
    cluster.propose(leader);
    cluster.persist(leader, i % 3);
  }
  for (let round = 0; round < 25; round += 1) {
    cluster.pass(10);
    for (const id of cluster.ids) if (id !== leader) cluster.tick(id);
    cluster.settle({ disks: [leader] });
  }
  const next = cluster.leader();
  if (next !== null && next !== leader) {
    cluster.propose(next);
    cluster.settle({ disks: [leader] });
    cluster.snapshots.compact(next, 0);
  }
  cluster.heal();
}

/**
 * A leader that is fresh from its heartbeats stands still, while time passes, and another campaigns
 * and commits if it can; then the leader goes on, and reads before it hears anything.
 */
function readWhileCutOff(
  cluster: Cluster,
  leader: MemberId,
  next: MemberId,
  how: Extract<SnapshotAction, { type: 'cut-off-reader' }>,
): void {
  const others = cluster.ids.filter((id) => id !== leader);
  if (how.hearsAlone) {
    for (const id of others) if (id !== next) cluster.cut.add(`${leader}>${id}`);
    for (let passed = 0; passed < 120; passed += 10) {
      cluster.pass(10);
      cluster.tick(leader);
      for (let i = 0; i < 20 && cluster.network.length > 0; i += 1) cluster.deliver(0);
    }
  }
  cluster.tick(leader, 2);
  deliverTo(cluster, others);
  cluster.pass(how.delayMs);
  deliverTo(cluster, [leader]);
  cluster.isolate(leader);
  if (how.restart) {
    for (const id of others) {
      cluster.crash(id);
      cluster.start(id);
    }
  }
  for (let passed = 0; passed < how.ms; passed += 10) {
    cluster.pass(10);
    for (const id of others) cluster.tick(id, how.pace);
    cluster.settle({ disks: [leader] });
  }
  if (next !== leader) cluster.propose(next);
  cluster.settle({ disks: [leader] });
  cluster.read(leader);
  cluster.heal();
}

function deliverTo(cluster: Cluster, ids: readonly MemberId[]): void {
  for (let at = 0; at < cluster.network.length; ) {
    if (ids.includes(cluster.network[at]?.to ?? '')) cluster.deliver(at);
    else at += 1;
  }
}
