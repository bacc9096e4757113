import fc from 'fast-check';
import { namesMember } from '../../src/raft/configuration.js';
import type { Configuration, ConfigurationChange, MemberId } from '../../src/raft/types.js';
import { Cluster, type ClusterSetup } from './cluster-harness.js';
import { performSnapshotAction, type SnapshotAction } from './snapshot-actions.js';

/** Schedules of all that may go wrong, and the liveness phase that follows. */

export type Action =
  | SnapshotAction
  | { readonly type: 'tick'; readonly member: number; readonly count: number }
  | { readonly type: 'deliver'; readonly position: number; readonly keep: boolean }
  | { readonly type: 'deliver-many'; readonly count: number }
  | { readonly type: 'drop'; readonly position: number }
  | { readonly type: 'persist'; readonly member: number; readonly count: number }
  | { readonly type: 'settle' }
  | { readonly type: 'deliver-all' }
  | { readonly type: 'overtake'; readonly count: number }
  | {
      readonly type: 'crash';
      readonly member: number;
      readonly appliedBehind: number;
      readonly torn: number;
    }
  | { readonly type: 'start'; readonly member: number }
  | { readonly type: 'propose'; readonly member: number; readonly count: number }
  | { readonly type: 'propose-to-leader'; readonly count: number }
  | { readonly type: 'read'; readonly member: number }
  | { readonly type: 'read-at-leader' }
  | { readonly type: 'elapse'; readonly count: number }
  | { readonly type: 'disconnected'; readonly member: number; readonly other: number }
  | { readonly type: 'isolate'; readonly member: number }
  | { readonly type: 'isolate-leader' }
  | { readonly type: 'crash-leader'; readonly torn: number }
  | { readonly type: 'campaign'; readonly member: number }
  | { readonly type: 'succession'; readonly member: number; readonly torn: number }
  | {
      readonly type: 'change';
      readonly what: 'learner' | 'join' | 'promote' | 'demote' | 'remove' | 'replace' | 'resize';
      readonly member: number;
      readonly other: number;
      /** Then so many messages of the cluster are handed over. */
      readonly deliver: number;
    }
  | { readonly type: 'remove-leader' }
  /** For a while nothing is wrong, so that long changes get somewhere. */
  | { readonly type: 'calm'; readonly count: number }
  | { readonly type: 'transfer'; readonly member: number; readonly deliver: number }
  | { readonly type: 'heal' };

/** `changes`: how often the members change, compared with other actions. */
export function schedules(
  memberCount: number,
  changes = 0,
  more: readonly { readonly weight: number; readonly arbitrary: fc.Arbitrary<Action> }[] = [],
): fc.Arbitrary<Action[]> {
  const member = fc.nat(memberCount - 1);
  const what = fc.constantFrom(
    'learner' as const,
    'join' as const,
    'join' as const,
    'promote' as const,
    'demote' as const,
    'remove' as const,
    'replace' as const,
    'resize' as const,
  );
  const deliver = fc.nat(30);
  const position = fc.nat(40);
  const action = fc.oneof(
    weighted(9, { type: 'tick', member, count: fc.integer({ min: 1, max: 25 }) }),
    weighted(4, { type: 'deliver', position, keep: fc.boolean() }),
    weighted(8, { type: 'deliver-many', count: fc.integer({ min: 1, max: 20 }) }),
    weighted(2, { type: 'drop', position }),
    weighted(6, { type: 'persist', member, count: fc.integer({ min: 1, max: 3 }) }),
    weighted(4, { type: 'settle' }),
    weighted(4, { type: 'deliver-all' }),
    weighted(2, { type: 'overtake', count: fc.integer({ min: 1, max: 8 }) }),
    weighted(2, { type: 'crash', member, appliedBehind: fc.nat(3), torn: fc.nat(3) }),
    weighted(5, { type: 'start', member }),
    weighted(2, { type: 'propose', member, count: fc.integer({ min: 1, max: 3 }) }),
    weighted(4, { type: 'propose-to-leader', count: fc.integer({ min: 1, max: 4 }) }),
    weighted(3, { type: 'read', member }),
    weighted(3, { type: 'read-at-leader' }),
    weighted(2, { type: 'elapse', count: fc.integer({ min: 1, max: 25 }) }),
    weighted(1, { type: 'disconnected', member, other: member }),
    weighted(1, { type: 'isolate', member }),
    weighted(1, { type: 'isolate-leader' }),
    weighted(1, { type: 'crash-leader', torn: fc.nat(3) }),
    weighted(1, { type: 'campaign', member }),
    weighted(1, { type: 'succession', member, torn: fc.nat(3) }),
    weighted(3, { type: 'heal' }),
    weighted(4 * changes, { type: 'change', what, member, other: member, deliver }),
    weighted(changes, { type: 'remove-leader' }),
    weighted(changes, { type: 'calm', count: fc.integer({ min: 5, max: 30 }) }),
    weighted(2 * changes, { type: 'transfer', member, deliver }),
    ...more,
  );
  return fc.array(action, { minLength: 60, maxLength: 400, size: 'max' });
}

function weighted<T extends Action['type']>(
  weight: number,
  shape: { type: T } & Record<string, fc.Arbitrary<unknown> | string>,
): { weight: number; arbitrary: fc.Arbitrary<Action> } {
  const { type, ...fields } = shape;
  const arbitrary = fc.record({
    type: fc.constant(type),
    ...(fields as Record<string, fc.Arbitrary<unknown>>),
  }) as unknown as fc.Arbitrary<Action>;
  return { weight, arbitrary };
}

/** An election timeout is 10 to 20 ticks. */
export const TICK_MS = 10;

export function perform(cluster: Cluster, action: Action): void {
  const id = (index: number): string => cluster.ids[index % cluster.ids.length] ?? '';
  const leader = cluster.leader();
  switch (action.type) {
    case 'tick':
      cluster.pass(action.count * 3);
      cluster.tick(id(action.member), action.count);
      break;
    case 'deliver':
      cluster.deliver(action.position % Math.max(1, cluster.network.length), action.keep);
      break;
    case 'deliver-many':
      for (let i = 0; i < action.count; i += 1) cluster.deliver(0);
      break;
    case 'drop':
      cluster.network.splice(action.position % Math.max(1, cluster.network.length), 1);
      break;
    case 'persist':
      cluster.persist(id(action.member), action.count);
      break;
    case 'settle':
      cluster.settle();
      break;
    case 'crash':
      cluster.crash(id(action.member), action.appliedBehind, action.torn);
      break;
    case 'start':
      cluster.start(id(action.member));
      break;
    case 'propose':
      for (let i = 0; i < action.count; i += 1) cluster.propose(id(action.member));
      break;
    case 'propose-to-leader':
      for (let i = 0; i < action.count && leader !== null; i += 1) cluster.propose(leader);
      break;
    case 'read':
      cluster.read(id(action.member));
      break;
    case 'campaign':
      cluster.step(id(action.member), { type: 'campaign' });
      break;
    case 'succession':
      if (leader === null) break;
      cluster.crash(leader, 0, action.torn);
      for (const other of cluster.ids) {
        cluster.step(other, { type: 'disconnected', member: leader });
      }
      succeed(cluster, id(action.member));
      break;
    case 'deliver-all':
      for (let i = 0; i < 200 && cluster.network.length > 0; i += 1) cluster.deliver(0);
      break;
    case 'overtake':
      cluster.network.push(...cluster.network.splice(0, action.count));
      break;
    case 'read-at-leader':
      if (leader !== null) cluster.read(leader);
      break;
    case 'elapse':
      elapse(cluster, action.count);
      break;
    case 'disconnected':
      cluster.step(id(action.member), { type: 'disconnected', member: id(action.other) });
      break;
    case 'isolate':
      cluster.isolate(id(action.member));
      break;
    case 'isolate-leader':
      if (leader !== null) cluster.isolate(leader);
      break;
    case 'crash-leader':
      if (leader !== null) cluster.crash(leader, 0, action.torn);
      break;
    case 'change':
      if (leader !== null) change(cluster, leader, action, [id(action.member), id(action.other)]);
      deliverSome(cluster, action.deliver);
      break;
    case 'calm':
      cluster.heal();
      for (const each of cluster.ids) cluster.start(each);
      elapse(cluster, action.count);
      break;
    case 'remove-leader':
      if (leader !== null) removeMember(cluster, leader, leader);
      break;
    case 'transfer':
      if (leader !== null) cluster.transfer(leader, id(action.member));
      deliverSome(cluster, action.deliver);
      break;
    case 'heal':
      cluster.heal();
      break;
    default:
      performSnapshotAction(cluster, action);
  }
}

function change(
  cluster: Cluster,
  leader: MemberId,
  { what }: Extract<Action, { type: 'change' }>,
  [member, other]: readonly [MemberId, MemberId],
): void {
  const now = cluster.node(leader).configuration;
  const { learners, promotions, voters } = now;
  const isNew = !namesMember(now, member);
  switch (what) {
    case 'learner':
      if (isNew) cluster.change(leader, { learners: [...learners, member] });
      break;
    case 'join':
      if (isNew) {
        const promotion = { member, replaces: null };
        const more = { learners: [...learners, member], promotions: [...promotions, promotion] };
        cluster.change(leader, more);
      }
      break;
    case 'promote':
      cluster.change(leader, {
        voters: [...voters, ...learners],
        learners: [],
        promotions: [],
      });
      break;
    case 'demote':
      cluster.change(leader, {
        voters: voters.filter((voter) => voter !== member),
        learners: [...learners.filter((learner) => learner !== member), member],
        promotions: promotions.filter((p) => p.member !== member && p.replaces !== member),
      });
      break;
    case 'remove':
      removeMember(cluster, leader, member);
      break;
    case 'replace':
      if (isNew && namesMember(now, other) && !promotions.some((p) => p.replaces === other)) {
        const promotion = { member, replaces: other };
        const more = { learners: [...learners, member], promotions: [...promotions, promotion] };
        cluster.change(leader, more);
      }
      break;
    case 'resize':
      cluster.change(leader, resized(cluster, now, member));
      break;
  }
}

/** All learners vote, and all voters but one leave: many at once. */
function resized(
  cluster: Cluster,
  now: Configuration,
  stays: MemberId,
): Partial<ConfigurationChange> {
  const keep = now.voters.includes(stays) ? stays : (now.voters[0] ?? stays);
  const voters = [...new Set([keep, ...now.learners])];
  const learners = cluster.ids.filter((id) => !namesMember(now, id));
  return { voters, learners, promotions: [] };
}

function removeMember(cluster: Cluster, leader: MemberId, member: MemberId): void {
  const { voters, learners, promotions } = cluster.node(leader).configuration;
  cluster.change(leader, {
    voters: voters.filter((voter) => voter !== member),
    learners: learners.filter((learner) => learner !== member),
    promotions: promotions.filter((p) => p.member !== member && p.replaces !== member),
  });
}

function deliverSome(cluster: Cluster, count: number): void {
  for (let i = 0; i < count; i += 1) {
    if (cluster.network.length > 0) cluster.deliver(0);
    else for (const id of cluster.ids) cluster.persist(id);
  }
}

/** `id` campaigns until it leads, and not one step further; then it is asked for a read index. */
function succeed(cluster: Cluster, id: MemberId): void {
  cluster.step(id, { type: 'campaign' });
  for (let round = 0; round < 40 && cluster.member(id).node !== null; round += 1) {
    if (cluster.node(id).role === 'leader') break;
    if (cluster.network.length > 0) cluster.deliver(0);
    else for (const other of cluster.ids) cluster.persist(other);
  }
  cluster.read(id);
}

/** Time passes at all alike, and everything else keeps up with it. */
function elapse(cluster: Cluster, count: number): void {
  for (let i = 0; i < count; i += 1) {
    cluster.pass(TICK_MS);
    for (const id of cluster.ids) cluster.tick(id);
    cluster.settle();
  }
}

/** Faults stop: there must be one leader soon, and all must have all. */
export function demandLiveness(cluster: Cluster): void {
  cluster.heal();
  for (const id of cluster.ids) cluster.start(id);
  cluster.settle();
  for (let round = 0; round < 300; round += 1) {
    cluster.pass(TICK_MS);
    for (const id of cluster.ids) cluster.tick(id);
    cluster.settle();
    const leader = cluster.leader();
    if (leader === null) continue;
    if (round % 50 === 10) cluster.propose(leader, `last ${round}`);
    if (round > 60 && hasConverged(cluster)) return;
  }
  throw new Error('liveness: the cluster does not converge after all faults are gone');
}

function hasConverged(cluster: Cluster): boolean {
  const all = cluster.ids.map((id) => cluster.node(id));
  const leader = all.find((node) => node.id === cluster.leader());
  if (leader === undefined) return false;
  const { configuration } = leader;
  const nodes = all.filter((node) => namesMember(configuration, node.id));
  return (
    configuration.votersOutgoing.length === 0 &&
    configuration.promotions.length === 0 &&
    configuration.index <= leader.commitIndex &&
    nodes.every(
      (node) =>
        node.leader === leader.id &&
        node.commitIndex === leader.lastIndex &&
        node.lastIndex === leader.lastIndex &&
        node.configuration.index === configuration.index &&
        node.flushedIndex === leader.lastIndex,
    )
  );
}

export function run(
  memberCount: number,
  seed: number,
  schedule: readonly Action[],
  voterCount = memberCount,
  more: Partial<ClusterSetup> = {},
): Cluster {
  const ids = Array.from({ length: memberCount }, (_, i) => `n${i + 1}`);
  const cluster = new Cluster({
    ids,
    voters: ids.slice(0, voterCount),
    seed,
    // Small limits, so that windows fill, messages are split and entries are let go.
    limits: {
      appendBytesMax: 100,
      inflightAppendsMax: 3,
      logCacheBytesMax: 200,
      uncommittedBytesMax: 60,
    },
    ...more,
  });
  for (const action of schedule) perform(cluster, action);
  return cluster;
}
