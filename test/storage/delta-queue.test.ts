import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { unpackDelta } from '../../src/base/delta-codec.js';
import { FAILPOINTS } from '../../src/base/failpoints.js';
import { seededRandom } from '../../src/base/random.js';
import { DeltaQueue, type HeldDelta } from '../../src/storage/delta-queue.js';
import { FailpointSet } from '../../src/storage/failpoint-set.js';
import { LOSE_UNSYNCED, MemoryFiles } from '../../src/storage/memory-files.js';
import { NodeFiles } from '../../src/storage/node-files.js';
import {
  appendNext,
  FOLDER,
  heldDelta,
  idsOf,
  newDisk,
  OTHER,
  openQueue,
  reopened,
  THIRD,
} from './delta-queue-helpers.js';
import { ManualWorld } from './manual-world.js';

const SEGMENTS_OF = (files: MemoryFiles) => files.list(FOLDER);

describe('a queue', () => {
  test('has what was appended, in order, and after a restart too', () => {
    const { queue, world, files } = newDisk();
    expect([queue.position, queue.durablePosition, idsOf(queue)]).toEqual([0, 0, []]);
    expect(appendNext(queue)).toBe(1);
    expect(appendNext(queue, OTHER)).toBe(2);
    queue.append(heldDelta(OTHER, 5));
    expect(idsOf(queue)).toEqual(['1', 'a1', 'a5']);
    world.run();
    const found = [...queue.held];
    const again = reopened(files.copy());
    expect(again.origin).toBe(queue.origin);
    expect([...again.held].map(plain)).toEqual(found.map(plain));
    for (const { delta, bytes } of again.held) expect(unpackDelta(bytes)).toEqual(delta);
    expect([again.position, again.durablePosition]).toEqual([3, 3]);
    expect([again.ownBytes, again.copiedBytes]).toEqual([queue.ownBytes, queue.copiedBytes]);
    expect(again.repairs).toEqual([]);
    expect([again.origin, OTHER, THIRD].map((origin) => again.lastSequence(origin))).toEqual([
      ...[1, 5, 0],
    ]);
  });

  test('has a name that no other has', () => {
    const random = seededRandom(1);
    const names = Array.from({ length: 50 }, () => newDisk({ random }).queue.origin);
    expect(new Set(names).size).toBe(50);
    for (const name of names) expect(name).toMatch(/^[0-9a-f]{16}$/);
  });

  test('knows how many bytes it holds, of whom', () => {
    const { queue, world } = newDisk();
    const sizes = [heldDelta(queue.origin, 1), heldDelta(queue.origin, 2, 300)];
    for (const held of sizes) queue.append(held);
    const copy = heldDelta(OTHER, 3, 20);
    queue.append(copy);
    const own = sizes.map(({ bytes }) => bytes.byteLength);
    expect(queue.ownBytes).toBe((own[0] as number) + (own[1] as number));
    expect(queue.copiedBytes).toBe(copy.bytes.byteLength);
    world.run();
    queue.trim((origin) => (origin === OTHER ? 3 : 1));
    expect([queue.ownBytes, queue.copiedBytes]).toEqual([own[1], 0]);
    expect(idsOf(queue)).toEqual(['2']);
  });

  test('refuses sequences that come out of order', () => {
    const { queue } = newDisk();
    appendNext(queue);
    queue.append(heldDelta(OTHER, 4));
    for (const wrong of [heldDelta(queue.origin, 1), heldDelta(queue.origin, 3)]) {
      expect(() => queue.append(wrong)).toThrow(/without gaps/);
    }
    expect(() => queue.append(heldDelta(OTHER, 4))).toThrow(/in the order/);
  });

  test('is on a real disk what it is on the simulated one', async () => {
    const folder = join(mkdtempSync(join(tmpdir(), 'balsa-deltas-')), 'data', 'ap');
    try {
      await liveOnRealDisk(folder);
    } finally {
      rmSync(join(folder, '..', '..'), { recursive: true });
    }
  });

  async function liveOnRealDisk(folder: string): Promise<void> {
    const open = () =>
      DeltaQueue.open({
        ...{ folder, files: new NodeFiles(), segmentBytes: 5500 },
        onFailure: (error) => expect.fail(error.message),
      });
    let queue = open();
    const { origin } = queue;
    let merged = 0;
    for (let life = 1; life <= 5; life += 1) {
      for (let frame = 0; frame < 6; frame += 1) {
        appendNext(queue, origin, 200);
        const position = appendNext(queue, OTHER, 300);
        await new Promise<void>((resolve) => queue.whenDurable(position, resolve));
      }
      merged += 5;
      queue.trim(() => merged);
      const ids = idsOf(queue);
      await queue.close();
      queue = open();
      expect(queue.origin).toBe(origin);
      expect(queue.lastSequence(origin)).toBe(6 * life);
      queue.trim(() => merged);
      expect(idsOf(queue)).toEqual(ids);
      expect(ids).toHaveLength(2 * (6 * life - merged));
    }
    queue.trim(() => 1000);
    const position = appendNext(queue, origin);
    await new Promise<void>((resolve) => queue.whenDurable(position, resolve));
    await vi.waitFor(() => expect(readdirSync(folder)).toHaveLength(1));
    await queue.close();
  }
});

function plain({ delta, bytes }: HeldDelta): unknown {
  return [delta, Buffer.from(bytes).toString('hex')];
}

describe('durability', () => {
  test('comes with one write and one sync for all that was appended meanwhile', () => {
    const { queue, world, files } = newDisk();
    const steps: string[] = [];
    files.onStep = ({ step }) => void steps.push(step);
    let syncs = 0;
    queue.onDurable = () => {
      syncs += 1;
    };
    const told: number[] = [];
    for (let count = 0; count < 5; count += 1) {
      const position = appendNext(queue);
      queue.whenDurable(position, () => told.push(position));
    }
    world.runOne();
    // A frame is under way.
    for (let count = 0; count < 3; count += 1) {
      const position = appendNext(queue, OTHER);
      queue.whenDurable(position, () => told.push(position));
    }
    expect([told, queue.durablePosition]).toEqual([[], 0]);
    world.run();
    expect(steps).toEqual(['write', 'sync', 'write', 'sync']);
    expect([told, syncs, queue.durablePosition]).toEqual([[1, 2, 3, 4, 5, 6, 7, 8], 2, 8]);
    queue.whenDurable(8, () => told.push(0));
    expect(told.at(-1)).toBe(0);
  });

  test('is told in order, and only when it is there', () => {
    const { queue, world, files } = newDisk();
    for (let count = 1; count <= 30; count += 1) {
      const position = appendNext(queue, queue.origin, 700);
      let isTold = false;
      queue.whenDurable(position, () => {
        isTold = true;
        expect(queue.durablePosition).toBeGreaterThanOrEqual(position);
      });
      while (!isTold) expect(world.runOne()).toBe(true);
      const lost = { data: () => 'lost' as const, keepsName: () => false };
      expect(idsOf(reopened(files.copy(() => {}, lost)))).toHaveLength(count);
    }
    expect(SEGMENTS_OF(files).length).toBeGreaterThan(10);
  });

  test('what is appended by one who hears of it goes with the next sync', () => {
    const { queue, world } = newDisk();
    let isTold = false;
    queue.whenDurable(appendNext(queue), () => {
      queue.whenDurable(appendNext(queue), () => {
        isTold = true;
      });
    });
    world.run();
    expect(isTold).toBe(true);
  });

  test('very much at a time takes several frames', () => {
    const { queue, world, files } = newDisk({ segmentBytes: 1e9 });
    let writes = 0;
    files.onStep = ({ step }) => {
      if (step === 'write') writes += 1;
    };
    for (let count = 0; count < 10; count += 1) appendNext(queue, OTHER, 1024 * 1024);
    world.run();
    expect([queue.durablePosition, writes]).toEqual([10, 4]);
    expect(idsOf(reopened(files.copy()))).toHaveLength(10);
  });

  test('a closed queue finishes what is under way, and tells nobody', async () => {
    const { queue, world, files } = newDisk();
    const calls: string[] = [];
    queue.onDurable = () => void calls.push('durable');
    queue.whenDurable(appendNext(queue), () => calls.push('told'));
    world.runOne();
    appendNext(queue);
    let isClosed = false;
    const closing = queue.close().then(() => {
      isClosed = true;
    });
    await Promise.resolve();
    expect(isClosed).toBe(false);
    world.run();
    await closing;
    queue.whenDurable(2, () => calls.push('later'));
    expect(calls).toEqual([]);
    expect(() => appendNext(queue)).toThrow(expect.objectContaining({ code: 'SHUTTING_DOWN' }));
    expect(idsOf(reopened(files.copy()))).toEqual(['1']);
    await queue.close();
  });
});

describe('trimming', () => {
  /** Own ones and copies by turns, each in a frame of its own. */
  function filled() {
    const opened = newDisk();
    const { queue, world } = opened;
    for (let count = 1; count <= 20; count += 1) {
      appendNext(queue, queue.origin, 300);
      world.run();
      appendNext(queue, OTHER, 300);
      world.run();
    }
    return opened;
  }

  test('removes files that hold nothing else, oldest first, and never the last', () => {
    const { queue, world, files } = filled();
    const before = SEGMENTS_OF(files);
    expect(before.length).toBeGreaterThan(8);
    queue.trim((origin) => (origin === queue.origin ? 20 : 0));
    world.run();
    expect(SEGMENTS_OF(files)).toEqual(before);
    queue.trim((origin) => (origin === queue.origin ? 20 : 10));
    world.run();
    const half = SEGMENTS_OF(files);
    expect(half.length).toBeLessThan(before.length - 3);
    expect(half).toEqual(before.slice(-half.length));
    queue.trim(() => 20);
    world.run();
    expect(SEGMENTS_OF(files)).toEqual(before.slice(-1));
    expect(idsOf(queue)).toEqual([]);
  });

  test('never leads to a sequence that was used before', () => {
    const { queue, world, files } = filled();
    for (let restart = 0; restart < 10; restart += 1) {
      queue.trim(() => 20);
      world.run();
    }
    let disk = files;
    for (let sequence = 20; sequence < 60; sequence += 1) {
      const again = new ManualWorld();
      disk = disk.copy(again.schedule);
      const next = openQueue(disk, again).queue;
      expect([next.origin, next.lastSequence(next.origin)]).toEqual([queue.origin, sequence]);
      appendNext(next, next.origin, 600);
      again.run();
      next.trim(() => sequence + 1);
      again.run();
      expect(disk.list(FOLDER).length).toBeLessThan(3);
    }
    expect(reopened(disk).removedSequence).toBeGreaterThan(50);
  });

  test('of what is not on disk yet does not keep its file for ever', () => {
    const { queue, world, files } = newDisk();
    for (let count = 0; count < 20; count += 1) {
      appendNext(queue, OTHER, 900);
      queue.trim(() => 1000);
      world.run();
    }
    expect([queue.durablePosition, idsOf(queue), queue.copiedBytes]).toEqual([20, [], 0]);
    expect(SEGMENTS_OF(files)).toHaveLength(1);
  });
});

describe('a disk that fails', () => {
  const cases = [
    ['write', 'EIO', 'DISK_FAILED'],
    ['write', 'ENOSPC', 'DISK_FULL'],
    ['sync', 'EIO', 'DISK_FAILED'],
    ['sync', 'ENOSPC', 'DISK_FULL'],
    ['sync-folder', 'EIO', 'DISK_FAILED'],
    ['open', 'ENOSPC', 'DISK_FULL'],
    ['rename', 'EIO', 'DISK_FAILED'],
    ['remove', 'EIO', 'DISK_FAILED'],
  ] as const;

  test.each(cases)(
    'at a %s (%s) is reported once, and nothing is durable then',
    (step, code, reported) => {
      for (let skip = 0; skip < 6; skip += 1) {
        const { queue, world, files, failures } = newDisk();
        files.failNext(step, code, skip);
        const told: number[] = [];
        for (let count = 0; count < 40 && failures.length === 0; count += 1) {
          const position = appendNext(queue, queue.origin, 800);
          queue.whenDurable(position, () => told.push(position));
          world.run();
          if (count % 5 === 4) queue.trim(() => count - 3);
          if (failures.length === 0) world.run();
        }
        expect(failures.map((error) => error.code)).toEqual([reported]);
        const durable = queue.durablePosition;
        expect(told.at(-1) ?? 0).toBe(durable);
        expect(() => appendNext(queue)).toThrow(failures[0]);
        queue.whenDurable(durable + 1, () => expect.fail('it is not durable'));
        queue.trim(() => 1000);
        const { steps } = files;
        world.run();
        world.pass(1000);
        expect([files.steps, failures.length]).toEqual([steps, 1]);
        const lost = { data: () => 'lost' as const, keepsName: () => false };
        const after = reopened(files.copy(() => {}, lost));
        expect(after.lastSequence(queue.origin)).toBeGreaterThanOrEqual(durable);
      }
    },
  );

  test('in a sync leaves in the cache what is on the disk once it was read again', () => {
    const { queue, world, files } = newDisk();
    appendNext(queue);
    world.run();
    files.failNext('sync', 'EIO');
    appendNext(queue);
    world.run();
    expect(queue.durablePosition).toBe(1);
    // The process is started again, and counts on what it reads. Then the power fails.
    const restarted = files.kill(world.schedule);
    expect(reopened(restarted).lastSequence(queue.origin)).toBe(2);
    expect(reopened(restarted.crash(LOSE_UNSYNCED)).lastSequence(queue.origin)).toBe(2);
  });

  test('twice at a time is reported once', () => {
    const { queue, world, files, failures } = newDisk();
    for (let count = 1; count <= 5; count += 1) {
      appendNext(queue, queue.origin, 2000);
      world.run();
    }
    files.failNext('sync-folder', 'EIO');
    files.failNext('write', 'ENOSPC');
    queue.trim(() => 4);
    appendNext(queue);
    world.run();
    expect(failures).toHaveLength(1);
    expect(queue.durablePosition).toBe(5);
  });

  test('ends what is under way elsewhere', () => {
    const { queue, world, files, failures } = newDisk();
    for (let count = 1; count <= 5; count += 1) {
      appendNext(queue, queue.origin, 2000);
      world.run();
    }
    files.failNext('sync-folder', 'EIO');
    queue.trim(() => 4);
    appendNext(queue);
    let syncs = 0;
    files.onStep = ({ step }) => {
      if (step === 'sync') syncs += 1;
    };
    world.run();
    expect([failures.length, syncs, queue.durablePosition]).toEqual([1, 0, 5]);
  });

  test('is closed like any other', async () => {
    const { queue, world, files, failures } = newDisk();
    files.failNext('sync', 'EIO');
    appendNext(queue);
    world.run();
    expect(failures).toHaveLength(1);
    await queue.close();
  });

  test('when the queue is made leaves no file open', () => {
    for (const step of ['write', 'sync'] as const) {
      const files = new MemoryFiles({ schedule: () => {} });
      const open = files.open.bind(files);
      let count = 0;
      files.open = (path) => {
        const file = open(path);
        count += 1;
        file.close = () => {
          count -= 1;
        };
        return file;
      };
      files.failNext(step, 'EIO');
      expect(() => openQueue(files, new ManualWorld())).toThrow('EIO');
      expect(count).toBe(0);
    }
  });

  test('when it is opened is told apart', () => {
    for (const [step, code, reported] of cases.slice(0, 6)) {
      const world = new ManualWorld();
      const files = new MemoryFiles({ schedule: world.schedule });
      files.failNext(step, code);
      expect(() => openQueue(files, world)).toThrow(expect.objectContaining({ code: reported }));
      expect(openQueue(files, world).queue.position).toBe(0);
    }
  });
});

describe('failpoints', () => {
  const NAMES = FAILPOINTS.filter((name) => name.startsWith('deltas.'));

  test('are passed, all of them', () => {
    const hits = new Set<string>();
    const failpoints = { hit: (name: string) => void hits.add(name) };
    const { queue, world } = newDisk({ failpoints });
    for (let count = 1; count <= 10; count += 1) {
      appendNext(queue, queue.origin, 900);
      world.run();
      queue.trim(() => count);
      world.run();
    }
    expect([...hits].sort()).toEqual([...NAMES].sort());
  });

  test.each(NAMES)('an error at %s is one of the disk', (name) => {
    const failpoints = FailpointSet.parse(`${name}=error@2`);
    const { queue, world, failures } = newDisk({ failpoints });
    for (let count = 1; count <= 20 && failures.length === 0; count += 1) {
      appendNext(queue, queue.origin, 900);
      world.run();
      queue.trim(() => count);
      world.run();
    }
    expect(failures.map(({ code }) => code)).toEqual(['DISK_FAILED']);
  });
});
