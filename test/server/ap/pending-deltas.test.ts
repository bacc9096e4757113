import { expect, test } from 'vitest';
import { Cell } from '../../../src/base/cell.js';
import { MERGE_COMMANDS } from '../../../src/base/command-versions.js';
import type { Delta } from '../../../src/base/delta.js';
import { packDelta } from '../../../src/base/delta-codec.js';
import { PendingDeltas } from '../../../src/server/ap/pending-deltas.js';
import { DeltaQueue } from '../../../src/storage/delta-queue.js';
import { MemoryFiles } from '../../../src/storage/memory-files.js';
import { Replica } from '../../statemachine/replica.js';

const OTHER = 'b'.repeat(16);

const parts = (key: string): Omit<Delta, 'origin' | 'sequence'> => ({
  ...{ timeMs: 1000, count: 0, key: Buffer.from(key), isNamed: true },
  ...{ fingerprint: Buffer.from('12345678'), procedure: 'p', hash: 'ab'.repeat(32), result: '1' },
  writes: [{ key: 'n', change: { cell: 'counter', type: 'add', by: 1 } }],
});

async function given() {
  const files = new MemoryFiles({ schedule: (complete) => complete() });
  const queue = DeltaQueue.open({ folder: 'ap', files, onFailure: () => {} });
  let replica = await Replica.start();
  const pending = new PendingDeltas({
    queue,
    machine: () => replica.machine,
    monotonicMs: () => 0,
  });
  const view = (): unknown => {
    const bytes = pending.cell('n');
    return bytes === null ? null : JSON.parse(Cell.decode(bytes)?.view() ?? 'null');
  };
  const merge = async (...deltas: readonly Delta[]): Promise<void> => {
    const command = { members: ['n1.1'], reports: [], deltas: deltas.map(packDelta) };
    await replica.run({ merge: command }, MERGE_COMMANDS);
  };
  const install = async (): Promise<void> => {
    replica = await Replica.start();
  };
  return { pending, view, merge, install };
}

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
