import { expect, test, vi } from 'vitest';
import { packCall } from '../../../src/base/call-codec.js';
import { Cell } from '../../../src/base/cell.js';
import { AP_PASTS, CALL_TAGS } from '../../../src/base/command-versions.js';
import type { Delta } from '../../../src/base/delta.js';
import { packDelta, unpackDelta } from '../../../src/base/delta-codec.js';
import { PendingDeltas } from '../../../src/server/ap/pending-deltas.js';
import { DeltaQueue } from '../../../src/storage/delta-queue.js';
import { MemoryFiles } from '../../../src/storage/memory-files.js';
import { call, deploy, hashOf } from '../../statemachine/call-records.js';
import { Replica } from '../../statemachine/replica.js';

const OTHER = 'b'.repeat(16);
const NONE = Buffer.alloc(0);

const parts = (key: string): Omit<Delta, 'origin' | 'sequence'> => ({
  ...{ timeMs: 1000, count: 0, key: Buffer.from(key), isNamed: true },
  ...{ fingerprint: Buffer.from('12345678'), procedure: 'p', hash: 'ab'.repeat(32), result: '1' },
  writes: [{ key: 'n', change: { cell: 'counter', type: 'add', by: 1 } }],
});

async function given() {
  const files = new MemoryFiles({ schedule: (complete) => complete() });
  const queue = DeltaQueue.open({ folder: 'ap', files, onFailure: () => {} });
  let replica = await Replica.start();
  let loggedIndex = Number.POSITIVE_INFINITY;
  const pending = new PendingDeltas({
    queue,
    machine: () => replica.machine,
    monotonicMs: () => 0,
    isKept: (index) => index <= loggedIndex,
  });
  const view = (): unknown => {
    const bytes = pending.cell('n');
    return bytes === null ? null : JSON.parse(Cell.decode(bytes)?.view() ?? 'null');
  };
  const merge = async (...deltas: readonly Delta[]): Promise<void> => {
    const command = { members: ['n1.1'], reports: [], deltas: deltas.map(packDelta) };
    await replica.run({ merge: command }, CALL_TAGS);
  };
  const apply = async (key: string): Promise<void> => {
    await replica.doIn(AP_PASTS, deploy(hashOf('aaaa'), ['p:ap']));
    await replica.doIn(AP_PASTS, deploy(hashOf('bbbb'), ['p']));
    const record = call(key, { hash: hashOf('bbbb'), isNamed: true });
    const [answer] = await replica.run({ calls: [packCall(record)] }, AP_PASTS);
    expect(answer).toMatchObject({ ok: true });
  };
  const install = async (): Promise<void> => {
    replica = await Replica.start();
  };
  const logged = (index: number): void => {
    loggedIndex = index;
  };
  const appliedIndex = (): number => replica.machine.appliedIndex;
  const failOnce = (): void => {
    vi.spyOn(replica.machine, 'mergedCall').mockImplementationOnce(() => {
      throw new Error('the disk');
    });
  };
  return { pending, queue, view, merge, apply, install, logged, appliedIndex, failOnce };
}

test('a call that was applied as one of mode cp is pending no more', async () => {
  const { pending, view, apply } = await given();
  pending.make(parts('k'));
  pending.make(parts('other'));
  expect(view()).toBe(2);
  await apply('k');
  expect(view()).toBe(1);
  expect(pending.call(Buffer.from('k'))).toBeNull();
});

test('what waits keeps nothing of the frames that it came in', async () => {
  const { pending, queue } = await given();
  const frame = Buffer.alloc(1024 * 1024, 'x');
  const views = { key: frame.subarray(0, 10), fingerprint: frame.subarray(10, 18) };
  pending.make({ ...parts('k'), ...views });
  const bytes = packDelta({ ...parts('copy'), origin: OTHER, sequence: 1 });
  const copy = Buffer.concat([frame, bytes]).subarray(frame.length);
  pending.add({ delta: unpackDelta(copy), bytes });
  const deltas = [...pending.list, ...queue.held].map(({ delta }) => delta);
  expect(deltas.map(({ key }) => Buffer.from(key).toString())).toEqual([
    ...['xxxxxxxxxx', 'copy', 'xxxxxxxxxx', 'copy'],
  ]);
  for (const { key, fingerprint } of deltas) {
    expect(key.buffer.byteLength + fingerprint.buffer.byteLength).toBeLessThan(100);
  }
});

test('what the store fails to tell of is in the queue neither', async () => {
  const { pending, queue, view, failOnce } = await given();
  failOnce();
  expect(() => pending.make(parts('k'))).toThrow('the disk');
  expect(pending.list).toEqual([]);
  expect(queue.position).toBe(0);
  pending.make(parts('k'));
  expect(view()).toBe(1);
});

test('a call that others have merged is seen once, also behind a snapshot', async () => {
  for (const isInstalled of [false, true]) {
    const { pending, view, merge, install } = await given();
    if (isInstalled) await install();
    pending.make(parts('k'));
    expect(view()).toBe(1);
    await merge({ ...parts('k'), origin: OTHER, sequence: 1 });
    expect(view()).toBe(1);
    expect(pending.list).toHaveLength(1);
  }
});

test('of two with one key that wait here the earlier one counts, in whichever order they come', async () => {
  for (const isLater of [false, true]) {
    const { pending, view } = await given();
    pending.make(parts('k'));
    pending.make(parts('another'));
    expect(view()).toBe(2);
    const other = { ...parts('k'), timeMs: isLater ? 2000 : 500, origin: OTHER, sequence: 1 };
    pending.add({ delta: other, bytes: packDelta(other) });
    expect(view()).toBe(2);
    expect(pending.call(Buffer.from('k'))?.isOwn).toBe(isLater);
  }
});

test('what is merged is forgotten by the queue when the own disk has the entry, and not before', async () => {
  const { pending, queue, merge, logged, appliedIndex } = await given();
  const held = (): number[] => [...queue.held].map(({ delta }) => delta.sequence);
  logged(appliedIndex());
  const deltas = ['a', 'b', 'c'].map((key) => pending.make(parts(key)).delta);
  const ends: number[] = [];
  for (const delta of deltas) {
    await merge(delta);
    ends.push(appliedIndex());
    expect(pending.list).toHaveLength(3 - ends.length);
    expect(held()).toEqual([1, 2, 3]);
  }
  logged(ends[0] ?? 0);
  expect(pending.list).toEqual([]);
  expect(held()).toEqual([2, 3]);
  logged(ends[2] ?? 0);
  expect(pending.list).toEqual([]);
  expect(held()).toEqual([]);
});

const GIVER = 'c'.repeat(16);
const stock = { key: 'stock', change: { cell: 'escrow', type: 'add', by: 1 } } as const;
const take = { key: 'stock', change: { cell: 'escrow', type: 'take', by: 1 } } as const;

test('of two with one key the own one keeps the rights that it took, until the log has chosen', async () => {
  const { pending, merge } = await given();
  const { origin } = pending;
  const give = { ...stock, change: { cell: 'escrow', type: 'give', by: 1, to: origin } } as const;
  await merge({ ...parts('add'), writes: [stock], origin: GIVER, sequence: 1 });
  await merge({ ...parts('give'), writes: [give], origin: GIVER, sequence: 2 });
  const own = pending.make({ ...parts('k'), writes: [take] });
  const other = { ...parts('k'), timeMs: 500, writes: [stock], origin: OTHER, sequence: 1 };
  pending.add({ delta: other, bytes: packDelta(other) });
  // The other one counts here; elsewhere it may be the own one that is merged.
  expect(pending.call(Buffer.from('k'))?.isOwn).toBe(false);
  expect(pending.allows([take], { timeMs: 3000, count: 0 })).toBe(false);
  const seen = (): unknown => JSON.parse(Cell.decode(pending.cell('stock') ?? NONE)?.view() ?? '');
  expect(seen()).toBe(2);
  await merge(other);
  expect(pending.allows([take], { timeMs: 3000, count: 0 })).toBe(true);
  await merge(own.delta);
  expect(pending.allows([take], { timeMs: 3000, count: 0 })).toBe(true);
  expect(seen()).toBe(2);
});

test('the oldest copy that waits here is known, whatever comes and goes', async () => {
  const { pending, merge } = await given();
  const copy = (key: string, sequence: number, timeMs: number): Delta => {
    const delta = { ...parts(key), origin: OTHER, sequence, timeMs };
    pending.add({ delta, bytes: packDelta(delta) });
    return delta;
  };
  pending.make({ ...parts('own'), timeMs: 100 });
  expect(pending.oldestCopyMs).toBe(Number.POSITIVE_INFINITY);
  const [first, second] = [copy('a', 1, 700), copy('b', 2, 800)];
  expect(pending.oldestCopyMs).toBe(700);
  await merge(first);
  expect(pending.oldestCopyMs).toBe(800);
  copy('c', 3, 900);
  expect(pending.oldestCopyMs).toBe(800);
  await merge(second);
  expect(pending.oldestCopyMs).toBe(900);
});
