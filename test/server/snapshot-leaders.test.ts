import { describe, expect, test } from 'vitest';
import type { MemberId } from '../../src/raft/types.js';
import { packSnapshotFrame, unpackSnapshotFrame } from '../../src/rpc/snapshot-frames.js';
import type { Fate } from './channel-pair.js';
import { SnapshotWorld, type TestReceiver } from './snapshot-world.js';

/** About 13 kB, so that a snapshot takes most of a second. */
const SLOW = { snapshotBytesPerSecondMax: 20_000 };

/** n2 takes in the snapshot of a leader of term 3. */
async function givenOneUnderWay(limits: ConstructorParameters<typeof SnapshotWorld>[0] = {}) {
  const world = new SnapshotWorld({ ...SLOW, ...limits });
  await world.fill(60);
  const n2 = world.receiver('n2');
  world.senders.request('n2', 3);
  await world.run(200);
  expect(n2.receiver.status?.chunks).toBeGreaterThan(1);
  return { world, n2 };
}

/** Another one that can send to n2 a state that ends with entry `index`. */
async function another(
  world: SnapshotWorld,
  n2: TestReceiver,
  { id, index }: { readonly id: MemberId; readonly index: number },
): Promise<SnapshotWorld> {
  const { limits, scheduler } = world;
  const made = new SnapshotWorld(limits, undefined, { id, scheduler });
  made.receivers.set('n2', n2);
  await made.fill(60, index);
  return made;
}

/** The one that leads now. */
function nextLeader(world: SnapshotWorld, n2: TestReceiver): Promise<SnapshotWorld> {
  return another(world, n2, { id: 'n3', index: 20 });
}

const toldOf = ({ told }: TestReceiver): string[] =>
  told.map(({ from, position }) => `${from} ${position.index}`);

/** Breaks the connection with the next frame; the terms that later headers say. */
function termsBehindABreak(world: SnapshotWorld): number[] {
  const terms: number[] = [];
  let isBroken = false;
  world.fate = (_number, _from, bytes): Fate => {
    const frame = unpackSnapshotFrame(bytes);
    if (frame.type === 'header') terms.push(frame.offer.term);
    if (isBroken) return 'pass';
    isBroken = true;
    return 'break';
  };
  return terms;
}

describe('a sender that does not lead any more', () => {
  test('goes on with what the receiver has begun to take in, and lets go of the state then', async () => {
    const { world, n2 } = await givenOneUnderWay();
    world.senders.leadershipLost();
    expect(world.senders.pins(world.scheduler.nowMs)).toEqual([{ member: 'n2', index: 10 }]);
    await world.run(3000);
    expect(n2.told).toMatchObject([{ from: 'leader', term: 3, position: { index: 10, term: 3 } }]);
    expect(world.sent).toEqual([{ member: 'n2', index: 10 }]);
    expect(await world.pairsOf(await n2.installed())).toEqual(await world.pairsOf(world.store));
    expect([world.store.openViews, [...world.senders.tasks]]).toEqual([0, []]);
    await world.run(60_000);
    expect(world.senders.pins(world.scheduler.nowMs)).toEqual([]);
  });

  test('goes on where it was when the connection breaks', async () => {
    const { world, n2 } = await givenOneUnderWay();
    world.senders.leadershipLost();
    const terms = termsBehindABreak(world);
    await world.run(3000);
    expect(terms).toEqual([3]);
    expect(world.frames.filter((name) => name === '<answer 0')).toHaveLength(1);
    expect(toldOf(n2)).toEqual(['leader 10']);
  });

  test('drops what waits for its turn', async () => {
    const { world, n2 } = await givenOneUnderWay({ snapshotsAtOnceMax: 1 });
    const n3 = world.receiver('n3');
    world.senders.request('n3', 3);
    world.senders.leadershipLost();
    await world.run(10_000);
    expect([toldOf(n2), toldOf(n3)]).toEqual([['leader 10'], []]);
  });

  test('drops what is being made, and what the receiver has not agreed to', async () => {
    for (const passedMs of [0, 1]) {
      const world = new SnapshotWorld();
      await world.fill(60);
      const n2 = world.receiver('n2');
      world.senders.request('n2', 3);
      await world.run(passedMs);
      expect(world.frames).toEqual(passedMs === 0 ? [] : ['>header']);
      world.senders.leadershipLost();
      await world.run(10_000);
      expect([world.sent, toldOf(n2), world.store.openViews]).toEqual([[], [], 0]);
      expect(world.frames.filter((name) => name.startsWith('>chunk'))).toEqual([]);
    }
  });

  test('gives up when it is refused: what comes next is for who leads now', async () => {
    const { world, n2 } = await givenOneUnderWay();
    world.senders.leadershipLost();
    world.fate = (_number, _from, frame) => {
      const content = unpackSnapshotFrame(frame);
      if (content.type !== 'chunk') return 'pass';
      const chunk = { ...content.chunk, checksum: content.chunk.checksum ^ 1 };
      return packSnapshotFrame({ type: 'chunk', chunk });
    };
    await world.run(10_000);
    expect(world.frames.at(-1)).toBe('<refusal SNAPSHOT_CORRUPT');
    expect([world.dials, world.sent]).toEqual([1, [{ member: 'n2', index: null }]]);
    expect([toldOf(n2), world.store.openViews]).toEqual([[], 0]);
  });

  test('sends nothing more to a member that is removed', async () => {
    const { world, n2 } = await givenOneUnderWay();
    world.senders.leadershipLost();
    world.senders.retain((member) => member !== 'n2');
    const sent = world.frames.length;
    await world.run(10_000);
    expect(world.frames[sent - 1]).toBe('>refusal MEMBER_REMOVED');
    expect(world.frames.slice(sent).filter((name) => name.startsWith('>'))).toEqual([]);
    expect([world.sent, toldOf(n2), world.store.openViews]).toEqual([[], [], 0]);
  });

  test('has one under way already when it leads again, and says so in its new term', async () => {
    const { world, n2 } = await givenOneUnderWay();
    world.senders.leadershipLost();
    world.senders.request('n2', 5);
    const terms = termsBehindABreak(world);
    await world.run(3000);
    expect(terms).toEqual([5]);
    expect([toldOf(n2), world.sent]).toEqual([['leader 10'], [{ member: 'n2', index: 10 }]]);
  });
});

describe('a receiver of which two think that it needs a snapshot', () => {
  test('lets the next leader wait while the one of before comes in', async () => {
    const { world, n2 } = await givenOneUnderWay();
    const next = await nextLeader(world, n2);
    world.senders.leadershipLost();
    next.senders.request('n2', 4);
    await world.run(100);
    expect(next.frames).toEqual(['>header', '<refusal OVERLOADED']);
    await world.run(1000);
    expect(toldOf(n2)).toEqual(['leader 10']);
    expect(world.frames.filter((name) => name === '<answer 0')).toHaveLength(1);
    // It is in place; what the next leader has is later all the same.
    const [offer] = n2.told;
    if (offer === undefined) throw new Error('told');
    n2.commitIndex = 10;
    n2.receiver.settled(offer, true);
    await world.run(5000);
    expect([toldOf(n2), next.sent]).toEqual([
      ['leader 10', 'n3 20'],
      [{ member: 'n2', index: 20 }],
    ]);
  });

  test('tells the next leader, when it has come as far, without taking a chunk', async () => {
    const { world, n2 } = await givenOneUnderWay();
    const next = await nextLeader(world, n2);
    next.senders.request('n2', 4);
    await world.run(300);
    n2.commitIndex = 20;
    await world.run(3000);
    expect(next.frames.slice(-2)).toEqual(['>header', '<done']);
    expect(next.sent).toEqual([{ member: 'n2', index: 20 }]);
  });

  test('is not asked again by one whose core has seen that it follows', async () => {
    const { world, n2 } = await givenOneUnderWay();
    const next = await nextLeader(world, n2);
    next.senders.request('n2', 4);
    await world.run(10);
    next.isNeeded = false;
    await world.run(5000);
    expect(next.frames).toEqual(['>header', '<refusal OVERLOADED']);
    expect([next.store.openViews, [...next.senders.tasks]]).toEqual([0, []]);
  });

  test('waits for one that is silent no longer than a silence may last', async () => {
    const { world, n2 } = await givenOneUnderWay({ snapshotIdleMsMax: 2000 });
    const next = await nextLeader(world, n2);
    world.fate = (_number, from) => (from === 'dialler' ? 'lose' : 'pass');
    next.senders.request('n2', 4);
    await world.run(1800);
    expect(next.frames).not.toContain('<answer 0');
    await world.run(4000);
    expect(toldOf(n2)).toEqual(['n3 20']);
  });

  test('waits as long for one whose connection has broken', async () => {
    const { world, n2 } = await givenOneUnderWay({ snapshotIdleMsMax: 2000 });
    const next = await nextLeader(world, n2);
    // The process of the sender has ended.
    world.receivers.clear();
    world.fate = () => 'break';
    next.senders.request('n2', 4);
    await world.run(1800);
    expect(n2.notices).toContainEqual(expect.objectContaining({ phase: 'broken' }));
    expect(next.frames).not.toContain('<answer 0');
    await world.run(4000);
    expect(toldOf(n2)).toEqual(['n3 20']);
  });

  test('does not wait for one that has been given up', async () => {
    const { world, n2 } = await givenOneUnderWay();
    const next = await nextLeader(world, n2);
    world.senders.retain(() => false);
    await world.run(10);
    next.senders.request('n2', 4);
    await world.run(5);
    expect(next.frames.slice(0, 2)).toEqual(['>header', '<answer 0']);
  });

  test('does not wait for one that it has no use for any more', async () => {
    const { world, n2 } = await givenOneUnderWay();
    const next = await nextLeader(world, n2);
    n2.commitIndex = 15;
    next.senders.request('n2', 4);
    await world.run(5);
    expect(next.frames.slice(0, 2)).toEqual(['>header', '<answer 0']);
    await world.run(3000);
    expect(toldOf(n2)).toEqual(['leader 10', 'n3 20']);
  });

  test('goes on with the one under way when another brings nothing', async () => {
    const { world, n2 } = await givenOneUnderWay();
    n2.commitIndex = 9;
    const old = await another(world, n2, { id: 'n4', index: 9 });
    old.senders.request('n2', 2);
    await world.run(5);
    expect(old.frames).toEqual(['>header', '<done']);
    await world.run(3000);
    expect(toldOf(n2)).toEqual(['n4 9', 'leader 10']);
    expect(world.dials).toBe(1);
  });
});
