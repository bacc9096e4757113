import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { formedWith } from '../../src/raft/configuration.js';
import { packSnapshotFrame, unpackSnapshotFrame } from '../../src/rpc/snapshot-frames.js';
import { limitProblems } from '../../src/server/config-limits.js';
import { type Fate, frameName } from './channel-pair.js';
import { SMALL, SnapshotWorld, type TestReceiver } from './snapshot-world.js';

const KEYS = 60;

/** A world in which n2 wants the snapshot of the leader's state. */
async function given(limits: ConstructorParameters<typeof SnapshotWorld>[0] = {}) {
  const world = new SnapshotWorld(limits);
  await world.fill(KEYS);
  const n2 = world.receiver('n2');
  return { world, n2 };
}

async function expectWhole(world: SnapshotWorld, receiver: TestReceiver): Promise<void> {
  expect(receiver.told.map((offer) => offer.position)).toEqual([{ index: 10, term: 3 }]);
  expect(world.sent).toEqual([{ member: 'n2', index: 10 }]);
  const store = await receiver.installed();
  expect(await world.pairsOf(store)).toEqual(await world.pairsOf(world.store));
  expect(receiver.failures).toEqual([]);
  expect(world.store.openViews).toBe(0);
}

/** The chunk with one bit of its pairs changed: the frame around it is in order. */
function withWrongBit(frame: Buffer): Fate {
  const chunk = unpackSnapshotFrame(frame);
  if (chunk.type !== 'chunk') return 'pass';
  const pairs = Buffer.from(chunk.chunk.pairs);
  pairs[pairs.length - 1] = (pairs.at(-1) ?? 0) ^ 1;
  return packSnapshotFrame({ type: 'chunk', chunk: { ...chunk.chunk, pairs } });
}

describe('a snapshot on its way from a leader to a follower', () => {
  test('arrives whole, and both sides say so when it is durable', async () => {
    const { world, n2 } = await given();
    world.senders.request('n2', 3);
    await world.run(1000);
    expect(world.frames.slice(0, 3)).toEqual(['>header', '<answer 0', '>chunk 1']);
    expect(world.frames).toContain('>end');
    expect(world.frames.at(-1)).toBe('<done');
    expect(n2.told[0]).toMatchObject({ from: 'leader', term: 3, configuration: { index: 4 } });
    await expectWhole(world, n2);
  });

  test('of an empty state has no chunks', async () => {
    const { world, n2 } = await given();
    await world.fill(0, 11);
    world.senders.request('n2', 3);
    await world.run(1000);
    expect(n2.told[0]?.position.index).toBe(11);
  });

  test('goes on where it was when the connection breaks, whichever frame is the last', async () => {
    const { world: whole } = await given();
    whole.receiver('n2');
    whole.senders.request('n2', 3);
    await whole.run(1000);
    const frames = whole.frames.length;
    const chunks = whole.frames.filter((name) => name.startsWith('>chunk')).length;
    expect(chunks).toBeGreaterThan(10);
    for (let broken = 1; broken <= frames; broken += 1) {
      const { world, n2 } = await given();
      world.fate = (number) => (number === broken ? 'break' : 'pass');
      world.senders.request('n2', 3);
      await world.run(3000);
      expect(world.dials, world.frames.join()).toBe(2);
      // What the window allows is sent twice at most: never all of it.
      const sent = world.frames.filter((name) => name.startsWith('>chunk')).length;
      expect(sent).toBeLessThanOrEqual(chunks + 4);
      await expectWhole(world, n2);
    }
  });

  test('arrives although every connection breaks after a few frames', async () => {
    const { world, n2 } = await given();
    world.fate = (number) => (number % 9 === 0 ? 'break' : 'pass');
    world.senders.request('n2', 3);
    await world.run(20_000);
    expect(world.dials).toBeGreaterThan(4);
    await expectWhole(world, n2);
  });

  test('a chunk with a wrong checksum is refused, all of it given up and sent again from the start', async () => {
    const { world, n2 } = await given();
    let isFirst = true;
    world.fate = (_number, _from, frame) => {
      if (frameName(frame) !== 'chunk 5' || !isFirst) return 'pass';
      isFirst = false;
      return withWrongBit(frame);
    };
    world.senders.request('n2', 3);
    await world.run(3000);
    expect(world.frames).toContain('<refusal SNAPSHOT_CORRUPT');
    expect(world.frames.filter((name) => name === '<answer 0')).toHaveLength(2);
    expect(n2.notices).toContainEqual(expect.objectContaining({ phase: 'abandoned' }));
    await expectWhole(world, n2);
  });

  test('that arrives damaged again and again is given up, and the core is told', async () => {
    const { world, n2 } = await given();
    world.fate = (_number, _from, frame) => withWrongBit(frame);
    world.senders.request('n2', 3);
    await world.run(20_000);
    expect(world.sent).toEqual([{ member: 'n2', index: null }]);
    expect(n2.told).toEqual([]);
    expect(world.store.openViews).toBe(0);
  });

  test('a frame that was damaged on its way costs the connection only', async () => {
    const { world, n2 } = await given();
    world.fate = (number, _from, frame) => {
      if (number !== 9) return 'pass';
      const damaged = Buffer.from(frame);
      damaged[20] = (damaged[20] ?? 0) ^ 1;
      return damaged;
    };
    world.senders.request('n2', 3);
    await world.run(3000);
    expect(world.frames.filter((name) => name === '<answer 0')).toHaveLength(1);
    await expectWhole(world, n2);
  });

  test('no more than the window is under way', async () => {
    const { world } = await given();
    let [underWay, most] = [0, 0];
    world.fate = (_number, from, frame) => {
      const content = unpackSnapshotFrame(frame);
      if (content.type === 'chunk') underWay += content.chunk.pairs.byteLength;
      if (content.type === 'ack' && from === 'acceptor') underWay = 0;
      most = Math.max(most, underWay);
      return 'pass';
    };
    world.senders.request('n2', 3);
    await world.run(1000);
    expect(most).toBeGreaterThan(2000);
    expect(most).toBeLessThanOrEqual(world.limits.snapshotWindowBytes);
  });

  test('keeps to its rate', async () => {
    const { world, n2 } = await given({ snapshotBytesPerSecondMax: 10_000 });
    world.senders.request('n2', 3);
    await world.run(900);
    expect(n2.told).toEqual([]);
    await world.run(900);
    // About 13 kB at 10 kB/s.
    await expectWhole(world, n2);
  });

  test('at the lowest rate that a configuration may have, chunk by chunk, in time; far below it never', async () => {
    const limits = { ...SMALL, keyBytesMax: 64, valueBytesMax: 512, snapshotBytesPerSecondMax: 1 };
    const problem = limitProblems(limits).find((p) => p.limit === 'snapshotBytesPerSecondMax');
    const least = Number(/ = (\d+),/.exec(problem?.problem ?? '')?.[1]);
    const { world, n2 } = await given({ ...limits, snapshotBytesPerSecondMax: least });
    world.senders.request('n2', 3);
    await world.run(10_000);
    await expectWhole(world, n2);
    expect(world.dials).toBe(1);

    const slow = await given({ ...limits, snapshotBytesPerSecondMax: Math.floor(least / 40) });
    slow.world.senders.request('n2', 3);
    await slow.world.run(600_000);
    expect(slow.n2.told).toEqual([]);
  });
});

describe('a sender', () => {
  test('gives up a member that cannot be reached, and lets go of the state', async () => {
    const { world } = await given();
    world.receivers.clear();
    world.senders.request('n2', 3);
    await world.run(4000);
    expect(world.store.openViews).toBe(1);
    expect(world.sent).toEqual([]);
    await world.run(5000);
    expect(world.sent).toEqual([{ member: 'n2', index: null }]);
    expect(world.store.openViews).toBe(0);
  });

  test('sends no state that does not know the members: it waits for a newer one', async () => {
    const world = new SnapshotWorld({}, formedWith([]));
    const n2 = world.receiver('n2');
    await world.fillWithoutMembers(5);
    world.senders.request('n2', 3);
    await world.run(2000);
    expect([world.sent, world.frames, world.store.openViews]).toEqual([
      [{ member: 'n2', index: null }],
      [],
      0,
    ]);
    await world.fill(1);
    world.senders.request('n2', 3);
    await world.run(2000);
    expect(n2.told[0]?.configuration).toMatchObject({ index: 4, voters: ['leader', 'n2', 'n3'] });
  });

  test('ends a connection on which nothing comes back', async () => {
    const { world, n2 } = await given();
    let silent = true;
    world.fate = (_number, from) => (silent && from === 'acceptor' ? 'lose' : 'pass');
    world.senders.request('n2', 3);
    await world.run(1500);
    expect(world.dials).toBe(2);
    silent = false;
    await world.run(3000);
    await expectWhole(world, n2);
  });

  test('waits for a receiver whose disk is slow, as long as it gives signs of life', async () => {
    const { world, n2 } = await given();
    const { beginImport } = n2.vault;
    n2.vault.beginImport = async (header) => {
      await new Promise<void>((resolve) => void world.scheduler.plan(8000, resolve));
      return beginImport.call(n2.vault, header);
    };
    world.senders.request('n2', 3);
    await world.run(12_000);
    expect(world.dials).toBe(1);
    await expectWhole(world, n2);
  });

  test('that is told to end says so, sends nothing more, and has no result', async () => {
    const { world, n2 } = await given();
    world.senders.request('n2', 3);
    await world.run(8);
    expect(world.frames.some((name) => name.startsWith('>chunk'))).toBe(true);
    world.senders.cancelAll(new BalsaError('OVERLOADED', 'another state takes its place'));
    const sent = world.frames.length;
    await world.run(10_000);
    expect(world.frames[sent - 1]).toBe('>refusal OVERLOADED');
    expect(world.frames.slice(sent).filter((name) => name.startsWith('>'))).toEqual([]);
    expect([world.sent, n2.told, world.store.openViews]).toEqual([[], [], 0]);
  });

  test('is asked twice and sends once; no more than snapshotsAtOnceMax at a time', async () => {
    const { world } = await given({ snapshotsAtOnceMax: 1 });
    const n3 = world.receiver('n3');
    world.senders.request('n2', 3);
    world.senders.request('n2', 3);
    world.senders.request('n3', 3);
    await world.run(5);
    expect(Array.from(world.senders.tasks, (task) => task.member)).toEqual(['n2']);
    await world.run(2000);
    expect(world.sent.map(({ member }) => member)).toEqual(['n2', 'n3']);
    expect(n3.told).toHaveLength(1);
  });

  test('goes to all that wait for whom there is a place when several members are removed', async () => {
    const { world } = await given({ snapshotsAtOnceMax: 2 });
    for (const member of ['n2', 'n3', 'n4', 'n5']) world.senders.request(member, 3);
    await world.run(5);
    world.senders.retain((member) => member === 'n4' || member === 'n5');
    expect(Array.from(world.senders.tasks, (task) => task.member)).toEqual(['n4', 'n5']);
  });

  test('keeps the log for a member until it is seen to follow, but not for ever', async () => {
    const { world } = await given();
    world.senders.request('n2', 3);
    await world.run(8);
    const pins = () => world.senders.pins(world.scheduler.nowMs);
    expect(pins()).toEqual([{ member: 'n2', index: 10 }]);
    await world.run(2000);
    expect(pins()).toEqual([{ member: 'n2', index: 10 }]);
    await world.run(60_000);
    expect(pins()).toEqual([]);
  });

  test('forgets who is not a member any more', async () => {
    const { world } = await given();
    world.senders.request('n2', 3);
    await world.run(8);
    world.senders.retain((member) => member !== 'n2');
    await world.run(5000);
    expect([world.sent, world.store.openViews]).toEqual([[], 0]);
  });
});

describe('a receiver', () => {
  const otherCluster = (frame: Buffer): Fate => {
    const header = unpackSnapshotFrame(frame);
    if (header.type !== 'header') return 'pass';
    const { offer } = header;
    const changed = { ...offer, header: { ...offer.header, clusterId: 'c2' } };
    return packSnapshotFrame({ type: 'header', offer: changed });
  };

  const REFUSALS: readonly [string, (world: SnapshotWorld) => void, string][] = [
    [
      'for another member',
      (world) => {
        world.receivers.set('n2', world.receiver('n3'));
      },
      'MEMBER_MISMATCH',
    ],
    [
      'of another cluster',
      (world) => {
        world.fate = (_number, _from, frame) => otherCluster(frame);
      },
      'CLUSTER_MISMATCH',
    ],
  ];

  test.each(REFUSALS)('refuses a snapshot %s', async (_what, arrange, code) => {
    const { world, n2 } = await given();
    arrange(world);
    world.senders.request('n2', 3);
    await world.run(3000);
    expect(world.frames).toEqual(['>header', `<refusal ${code}`]);
    expect(world.sent).toEqual([{ member: 'n2', index: null }]);
    expect(n2.told).toEqual([]);
  });

  test('tells a failure to the core only after a while, so that it is not asked for without end', async () => {
    const { world } = await given();
    world.fate = (_number, _from, frame) => otherCluster(frame);
    world.senders.request('n2', 3);
    await world.run(500);
    expect(world.sent).toEqual([]);
    await world.run(1000);
    expect(world.sent).toHaveLength(1);
  });

  test('that has the state already says so without taking a chunk', async () => {
    const { world, n2 } = await given();
    n2.commitIndex = 10;
    world.senders.request('n2', 3);
    await world.run(1000);
    expect(world.frames).toEqual(['>header', '<done']);
    expect(n2.told).toHaveLength(1);
    expect(world.sent).toEqual([{ member: 'n2', index: 10 }]);
  });

  test('lets one that its sender has begun anew take the place of the one under way', async () => {
    const { world, n2 } = await given({ snapshotBytesPerSecondMax: 20_000 });
    world.senders.request('n2', 3);
    await world.run(200);
    world.senders.cancelAll(new BalsaError('OVERLOADED', 'another state takes its place'));
    world.senders.request('n2', 4);
    await world.run(3000);
    expect(n2.told.map((offer) => offer.term)).toEqual([4]);
    expect(world.frames.filter((name) => name === '<answer 0')).toHaveLength(2);
  });

  test('takes no other snapshot while one that is whole waits to be installed', async () => {
    const { world, n2 } = await given();
    world.senders.request('n2', 3);
    await world.run(1000);
    await world.fill(1, 20);
    world.senders.request('n2', 3);
    await world.run(1000);
    expect(world.frames.at(-1)).toBe('<refusal OVERLOADED');
    const [offer] = n2.told;
    if (offer === undefined) throw new Error('told');
    n2.receiver.settled(offer, false);
    await world.run(5000);
    expect(n2.told.map(({ position }) => position.index)).toEqual([10, 20]);
  });

  test('gives up what it received when the core does not want it', async () => {
    const { world, n2 } = await given();
    world.senders.request('n2', 3);
    await world.run(1000);
    const [offer] = n2.told;
    if (offer === undefined) throw new Error('told');
    n2.receiver.settled(offer, false);
    await world.run(10);
    expect(n2.receiver.finishedImport(offer)).toBeNull();
    expect(n2.receiver.status).toBeNull();
  });

  test('ends a stream that is silent, and keeps what it has', async () => {
    const { world, n2 } = await given({ snapshotRetryMsMax: 60_000 });
    let cut = false;
    world.fate = (_number, from) => (cut && from === 'dialler' ? 'lose' : 'pass');
    world.senders.request('n2', 3);
    await world.run(8);
    cut = true;
    await world.run(2000);
    expect(n2.notices).toContainEqual(expect.objectContaining({ phase: 'broken' }));
    cut = false;
    await world.run(5000);
    expect(world.frames.filter((name) => name === '<answer 0')).toHaveLength(1);
    await expectWhole(world, n2);
  });

  test('lives and says so while parts of a large value come, and no longer', async () => {
    const { world, n2 } = await given();
    const idleMs = world.limits.snapshotIdleMsMax;
    const said: string[] = [];
    let isOver = false;
    const abort = (): void => {
      isOver = true;
    };
    const session = n2.receiver.accept({
      ...{ pendingBytes: 0, end: abort, abort },
      send: (frame) => void said.push(unpackSnapshotFrame(frame).type),
    });
    for (let i = 0; i < 6; i += 1) {
      await world.run(idleMs / 2);
      session.partReceived?.();
    }
    expect(isOver).toBe(false);
    expect(said).toEqual(Array.from({ length: 6 }, () => 'ack'));
    await world.run(idleMs + 1);
    expect(isOver).toBe(true);
  });

  test('says that it has all of it only when all of it is durable', async () => {
    const { world, n2 } = await given();
    const { beginImport } = n2.vault;
    let finishing = false;
    n2.vault.beginImport = async (header) => {
      const begun = await beginImport.call(n2.vault, header);
      begun.finish = () => {
        finishing = true;
        return new Promise(() => {});
      };
      return begun;
    };
    world.senders.request('n2', 3);
    await world.run(5000);
    expect(finishing).toBe(true);
    expect(world.frames).not.toContain('<done');
    expect([world.sent, n2.told]).toEqual([[], []]);
    // It lives, and says so.
    expect(world.dials).toBe(1);
  });

  test('takes nothing more from a stream when the sender has opened another one', async () => {
    const { world, n2 } = await given();
    const { beginImport } = n2.vault;
    n2.vault.beginImport = async (header) => {
      const begun = await beginImport.call(n2.vault, header);
      const { write } = begun;
      begun.write = async (chunk) => {
        await new Promise<void>((resolve) => void world.scheduler.plan(150, resolve));
        return write.call(begun, chunk);
      };
      return begun;
    };
    // The connection breaks while chunks of it wait for the disk.
    world.fate = (_number, _from, frame) => (frameName(frame) === 'ack 2' ? 'break' : 'pass');
    world.senders.request('n2', 3);
    await world.run(8000);
    expect(world.dials).toBe(2);
    expect(world.frames.filter((name) => name.startsWith('<answer'))).toEqual([
      '<answer 0',
      '<answer 3',
    ]);
    expect(world.frames.filter((name) => name.startsWith('<refusal'))).toEqual([]);
    await expectWhole(world, n2);
  });

  test('whose disk fails gives up the import, not the replica', async () => {
    const { world, n2 } = await given();
    n2.vault.beginImport = () => Promise.reject(new BalsaError('DISK_FULL', 'no space is left'));
    world.senders.request('n2', 3);
    await world.run(3000);
    expect(world.frames.at(-1)).toBe('<refusal DISK_FULL');
    expect(world.sent).toEqual([{ member: 'n2', index: null }]);
    expect(n2.failures).toEqual([]);
  });
});
