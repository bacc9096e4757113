import { describe, expect, test, vi } from 'vitest';
import { BalsaError } from '../../../src/base/errors.js';
import { ApWorld, add, append, say, setAdd } from './ap-world.js';

/** `ap` calls at replicas that do, or do not, hear each other. */

const n = (by = 1) => ({ key: 'n', change: add(by) });

describe('a call of an ap procedure', () => {
  test('is answered when it is on the disk there, and merged behind that', async () => {
    const ap = await ApWorld.start();
    expect(await ap.call(2, n(5))).toBe('5 pending');
    expect(await ap.call(3, n(2))).toMatch(/^[27] pending$/);
    await ap.settle();
    for (const place of [1, 2, 3]) expect(ap.merged(place, 'n')).toBe(7);
    expect(await ap.call(1, n(1))).toBe('8 pending');
  });

  test('that fails leaves what it had logged in the log of its procedure', async () => {
    const ap = await ApWorld.start();
    await ap.call(2, n());
    expect(await ap.call(2, { key: 'n', change: setAdd('x') })).toMatch(/INVALID_ARGUMENT/);
    const { log } = ap.machine(2).replica.calls;
    expect(log.about('logs')).toMatchObject([
      { procedure: 'p', line: 'so far', isError: false },
      { procedure: 'p', line: 'INVALID_ARGUMENT: another type of cell', isError: true },
    ]);
  });

  test.each(['mergedCall', 'get'] as const)(
    'is answered when the store of the replica fails, and others go on: %s',
    async (method) => {
      const ap = await ApWorld.start();
      const { machine } = ap.machine(2).replica;
      const fail = async (): Promise<void> => {
        vi.spyOn(machine, method).mockImplementationOnce(() => {
          throw new BalsaError('DISK_FAILED', 'the disk');
        });
      };
      // Looked at again when the code has run.
      if (method === 'get') ap.executor.onRun = fail;
      else await fail();
      expect(await ap.call(2, n())).toBe('DISK_FAILED unknown');
      ap.executor.onRun = () => Promise.resolve();
      expect(await ap.call(2, n())).toBe('1 pending');
      await ap.settle();
      expect(ap.merged(1, 'n')).toBe(1);
    },
  );

  test('is not answered before its disk has it', async () => {
    const ap = await ApWorld.start();
    ap.machine(2).diskMs = 10_000;
    const told = ap.begin(2, n());
    await ap.world.run(5000);
    expect(told.answer).toBeNull();
    await ap.world.until(() => told.answer !== null, 60_000);
    expect(say(told.answer)).toBe('1 pending');
  });

  test('is served by a replica that hears nobody, and no other one is needed', async () => {
    const ap = await ApWorld.start();
    ap.split([[1], [2], [3]]);
    await ap.world.run(5000);
    expect(ap.world.running.map(({ replica }) => replica.leader)).toEqual([null, null, null]);
    for (const place of [1, 2, 3]) {
      for (let i = 1; i <= 5; i += 1) expect(await ap.call(place, n())).toBe(`${i} pending`);
    }
    ap.world.heal();
    await ap.settle();
    for (const place of [1, 2, 3]) expect(ap.merged(place, 'n')).toBe(15);
  });

  test('sees what was done on its side of a partition, and nothing is lost or doubled when that ends', async () => {
    const ap = await ApWorld.start(5);
    ap.split([
      [1, 2],
      [3, 4, 5],
    ]);
    await ap.world.run(5000);
    await ap.call(1, { key: 'log', change: append('at 1') });
    await ap.call(2, { key: 'log', change: append('at 2') });
    await ap.call(4, { key: 'log', change: append('at 4') });
    await ap.world.run(2000);
    for (const place of [1, 2]) expect(await ap.look(place, 'log')).toEqual(['at 1', 'at 2']);
    expect(await ap.look(1, 'log', false)).toBe(0);
    expect(await ap.look(5, 'log')).toEqual(['at 4']);
    ap.world.heal();
    await ap.settle();
    for (const place of [1, 2, 3, 4, 5]) {
      expect(ap.merged(place, 'log', 'log')).toEqual(['at 1', 'at 2', 'at 4']);
    }
  });

  test('keeps causes before what they caused, whoever passes them on', async () => {
    const ap = await ApWorld.start(3);
    ap.split([[1], [2], [3]]);
    await ap.call(1, { key: 's', change: setAdd('x') });
    // 2 hears of it, and removes it; 3 hears of both from 2 alone.
    ap.world.cut.delete('n1.1>n2.1');
    ap.world.cut.delete('n2.1>n1.1');
    await ap.world.until(() => ap.pending(2) === 1);
    expect(await ap.call(2, { key: 's', clears: true })).toBe('[] pending');
    ap.split([[1], [2, 3]]);
    ap.world.cut.delete('n2.1>n3.1');
    ap.world.cut.delete('n3.1>n2.1');
    ap.machine(1).crash();
    await ap.settle();
    for (const place of [2, 3]) expect(ap.merged(place, 's', 'set')).toEqual([]);
  });
});

describe('what was acknowledged', () => {
  test('is there after a power failure of the replica, which goes on with its numbers', async () => {
    const ap = await ApWorld.start();
    ap.split([[1], [2, 3]]);
    await ap.call(1, n(5));
    ap.machine(1).crash();
    await ap.world.wait(ap.machine(1).start());
    expect(await ap.look(1, 'n')).toBe(5);
    expect(await ap.call(1, n(2))).toBe('7 pending');
    ap.world.heal();
    await ap.settle();
    expect(ap.merged(3, 'n')).toBe(7);
    // Merged, and not forgotten there: it comes back from the disk, and counts no more.
    ap.machine(1).crash();
    await ap.world.wait(ap.machine(1).start());
    await ap.settle();
    expect(await ap.look(1, 'n')).toBe(7);
    expect(ap.merged(2, 'n')).toBe(7);
  });

  test('is merged by others, when they have a copy and it never comes back', async () => {
    const ap = await ApWorld.start();
    expect(await ap.call(3, n(5), { peers: 2 })).toMatch(/^5/);
    ap.machine(3).crash();
    await ap.settle();
    expect(ap.merged(1, 'n')).toBe(5);
  });

  test('with peers is on so many other disks, or is not called so', async () => {
    const ap = await ApWorld.start(3, { readWaitMsMax: 1000 });
    ap.split([[1, 2], [3]]);
    await ap.world.run(3000);
    expect(await ap.call(3, n(5), { peers: 1, key: 'k' })).toBe('TIMEOUT unknown');
    const again = ap.begin(3, n(5), { peers: 1, key: 'k' });
    ap.world.heal();
    await ap.world.until(() => again.answer !== null);
    expect(say(again.answer)).toMatch(/^again 5/);
    // The state that it is about is that from before the others were heard again.
    expect(again.answer).toMatchObject({ facts: { side: 'isolated' } });
    await ap.settle();
    expect(ap.merged(1, 'n')).toBe(5);
  });

  test('with peers is answered as soon as it is there, one call behind the other', async () => {
    const ap = await ApWorld.start(3);
    await ap.world.run(3000);
    await ap.call(3, n(), { peers: 1 });
    for (let i = 0; i < 20; i += 1) {
      const call = ap.begin(3, n(), { peers: 1 });
      // Twice over the network, and once to either disk.
      await ap.world.until(() => call.answer !== null, 8);
    }
  });

  test('with peers, asked again where a copy is, is on as many other disks all the same', async () => {
    const ap = await ApWorld.start(5, { readWaitMsMax: 1000 });
    ap.split([
      [1, 2],
      [3, 4, 5],
    ]);
    await ap.world.run(3000);
    expect(await ap.call(1, n(5), { peers: 2, key: 'k' })).toBe('TIMEOUT unknown');
    expect(await ap.call(2, n(5), { peers: 2, key: 'k' })).toBe('TIMEOUT unknown');
    expect(await ap.call(2, n(5), { peers: 1, key: 'k' })).toBe('again 5 pending');
    const again = ap.begin(2, n(5), { peers: 2, key: 'k' });
    ap.world.heal();
    await ap.world.until(() => again.answer !== null);
    expect(say(again.answer)).toMatch(/^again 5/);
    await ap.settle();
    expect(ap.merged(4, 'n')).toBe(5);
  });
});

describe('a call under the same key', () => {
  test('counts once, at one replica: while it runs, while it is pending, and when it is merged', async () => {
    const ap = await ApWorld.start();
    ap.split([[1], [2, 3]]);
    const both = [ap.begin(1, n(), { key: 'k' }), ap.begin(1, n(), { key: 'k' })];
    await ap.world.until(() => both.every(({ answer }) => answer !== null));
    expect(both.map(({ answer }) => say(answer))).toEqual(['1 pending', 'again 1 pending']);
    expect(await ap.call(1, n(), { key: 'k' })).toBe('again 1 pending');
    expect(await ap.call(1, n(7), { key: 'k' })).toBe('CALL_KEY_REUSED not-applied');
    ap.world.heal();
    await ap.settle();
    for (const place of [1, 2]) expect(await ap.call(place, n(), { key: 'k' })).toBe('again 1');
    expect(await ap.call(2, n(7), { key: 'k' })).toBe('CALL_KEY_REUSED not-applied');
    expect(ap.merged(3, 'n')).toBe(1);
    expect(ap.executor.runs).toBe(1);
  });

  test('counts once on both sides of a partition', async () => {
    const ap = await ApWorld.start();
    ap.split([[1], [2, 3]]);
    await ap.world.run(3000);
    expect(await ap.call(1, n(), { key: 'k' })).toBe('1 pending');
    expect(await ap.call(2, n(), { key: 'k' })).toBe('1 pending');
    expect(await ap.call(1, n(10))).toBe('11 pending');
    ap.world.heal();
    await ap.settle();
    for (const place of [1, 2, 3]) expect(ap.merged(place, 'n')).toBe(11);
    expect(await ap.look(1, 'n')).toBe(11);
  });

  test('is answered from a copy, where the other replica is gone', async () => {
    const ap = await ApWorld.start();
    ap.split([[1, 2], [3]]);
    ap.machine(3).crash();
    // No majority: nothing is merged.
    ap.machine(1).replica.transfer;
    await ap.call(1, n(), { key: 'k', peers: 1 });
    ap.machine(1).crash();
    expect(await ap.call(2, n(), { key: 'k' })).toMatch(/^again 1/);
  });
});

describe('a call that was tried before', () => {
  const state = { callKeptMs: 2000, namedCallKeptMs: 20_000 };
  const k = { key: 'k', isNamed: false };

  test('is not made when its key may be forgotten by now, as clocks may run too slow', async () => {
    const ap = await ApWorld.start(3, {}, { state });
    expect(await ap.call(1, n(), { ...k, ageMs: 1800 })).toBe('CALL_EXPIRED unknown');
    expect(await ap.call(1, n(), { ...k, isNamed: true, ageMs: 18_000 })).toBe(
      'CALL_EXPIRED unknown',
    );
    expect(ap.executor.runs).toBe(0);
    expect(await ap.call(1, n(), { ...k, ageMs: 1700 })).toBe('1 pending');
  });

  test('is answered all the same where it is known', async () => {
    const ap = await ApWorld.start(3, {}, { state });
    await ap.call(1, n(), k);
    expect(await ap.call(1, n(), { ...k, ageMs: 1e6 })).toBe('again 1 pending');
    await ap.settle();
    expect(await ap.call(2, n(), { ...k, ageMs: 1e6 })).toBe('again 1');
  });

  test('is not made when it was in time, and has run for too long', async () => {
    const ap = await ApWorld.start(3, {}, { state });
    const ends: (() => void)[] = [];
    ap.executor.onRun = () => new Promise((resolve) => ends.push(resolve));
    const told = ap.begin(1, n(), { ...k, ageMs: 1000 });
    await ap.world.until(() => ends.length === 1);
    await ap.world.run(900);
    ends[0]?.();
    await ap.world.until(() => told.answer !== null);
    expect(say(told.answer)).toBe('CALL_EXPIRED unknown');
    expect(ap.pending(1)).toBe(0);
  });
});

describe('an escrow counter', () => {
  const stock = { key: 'stock', change: { cell: 'escrow', type: 'add', by: 9 } } as const;

  test('is not taken from beyond what this replica has, also by calls at one time', async () => {
    const ap = await ApWorld.start();
    await ap.call(1, stock);
    await ap.settle();
    ap.split([[1], [2], [3]]);
    const takes = [2, 2, 2].map((take) => ap.begin(2, { key: 'stock', take }));
    await ap.world.until(() => takes.every(({ answer }) => answer !== null));
    expect(takes.map(({ answer }) => say(answer))).toEqual(['7 pending', '6 pending', '6']);
    expect(await ap.call(2, { key: 'stock', take: 5 })).toMatch(/^6/);
    expect(await ap.call(3, { key: 'stock', take: 100 })).toBe('6 pending');
    ap.world.heal();
    await ap.settle();
    expect(ap.merged(1, 'stock', 'escrow')).toBe(3);
  });
});

describe('bounds', () => {
  test('more than apQueueBytesMax is refused, and let in when it was merged', async () => {
    const ap = await ApWorld.start(3, { apQueueBytesMax: 1000 });
    ap.split([[1], [2, 3]]);
    const said = new Set<string>();
    for (let i = 0; i < 20; i += 1) said.add((await ap.call(1, n())).replace(/\d+/, 'N'));
    expect(said).toEqual(new Set(['N pending', 'AP_QUEUE_FULL not-applied']));
    ap.world.heal();
    await ap.settle();
    expect(await ap.call(1, n())).toMatch(/pending$/);
  });

  test('more than apCopiesBytesMax is not copied, and merged all the same', async () => {
    const ap = await ApWorld.start(3, { apCopiesBytesMax: 1000 });
    ap.split([[1, 2, 3]]);
    const calls = Array.from({ length: 40 }, () => ap.begin(1, n()));
    await ap.world.until(() => calls.every(({ answer }) => answer !== null));
    await ap.settle();
    expect(ap.merged(2, 'n')).toBe(40);
  });
});

test('a replica that stops answers what waits as unknown, and refuses what comes', async () => {
  const ap = await ApWorld.start();
  ap.machine(1).diskMs = 10_000;
  const told = ap.begin(1, n());
  await ap.world.run(10);
  const { calls } = ap.machine(1).replica;
  calls.close(new BalsaError('SHUTTING_DOWN', 'the replica is stopping'));
  await ap.world.until(() => told.answer !== null, 100);
  expect(say(told.answer)).toBe('SHUTTING_DOWN unknown');
  expect(await ap.call(1, n())).toBe('SHUTTING_DOWN not-applied');
});
