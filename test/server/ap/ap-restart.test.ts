import { describe, expect, test, vi } from 'vitest';
import { RaftNode } from '../../../src/raft/raft-node.js';
import type { CallAnswer } from '../../../src/server/calls/call-types.js';
import { ApWorld, add } from './ap-world.js';

const STOCK = { key: 'stock', change: { cell: 'escrow', type: 'add', by: 9 } } as const;

/** Replica 1 has taken its three rights of nine while it was cut off, and has counted to six; all of it was merged. */
async function merged(): Promise<ApWorld> {
  const ap = await ApWorld.start();
  // Each delta fills a file of its own, which is removed when it is no longer needed.
  ap.world.deltaSegmentBytes = 128;
  ap.machine(1).crash();
  await ap.world.wait(ap.machine(1).start());
  await ap.world.converge();
  await ap.call(2, STOCK);
  await ap.settle();
  await ap.world.run(3000);
  ap.split([[1], [2, 3]]);
  expect(await ap.call(1, { key: 'stock', take: 3 })).toBe('6 pending');
  for (let i = 0; i < 6; i += 1) await ap.call(1, { key: 'n', change: add(1) });
  ap.world.heal();
  await ap.settle();
  return ap;
}

const filesOf = (ap: ApWorld): number => ap.machine(1).files.list('ap').length;

describe('a replica that starts alone, with what it had merged not in its queue any more', () => {
  test.each([
    ['the power fails', 0, 0],
    ['the power fails', 20, 0],
    ['the power fails', 100, 0],
    ['the power fails', 200, 0],
    ['the power fails', 3000, 0],
    ['the process is killed', 100, Number.POSITIVE_INFINITY],
    ['the process is killed', 3000, Number.POSITIVE_INFINITY],
  ])('%s, %i ms later: knows of it all the same', async (_, idleMs, kept) => {
    const ap = await merged();
    await ap.world.run(idleMs);
    if (idleMs > 1000) expect(filesOf(ap)).toBe(1);
    ap.machine(1).crash({ keeps: () => kept });
    ap.split([[1], [2, 3]]);
    await ap.world.wait(ap.machine(1).start());

    // Before anybody leads: it has no rights left, and has what it counted.
    const taken = ap.begin(1, { key: 'stock', take: 3 });
    const seen = ap.look(1, 'n');
    await ap.world.until(() => taken.answer !== null);
    expect(taken.answer).toMatchObject({ ok: true, result: '6', pending: false });
    expect(await seen).toBe(6);
    ap.world.heal();
    await ap.settle();
    expect([ap.merged(2, 'stock', 'escrow'), ap.merged(2, 'n')]).toEqual([6, 6]);
  });

  test('knows of copies, too, and of calls that others have made, from the first moment', async () => {
    const ap = await ApWorld.start();
    ap.world.deltaSegmentBytes = 128;
    ap.machine(1).crash();
    await ap.world.wait(ap.machine(1).start());
    await ap.world.converge();
    const count = async (key?: string): Promise<string> => {
      const said = await ap.call(2, { key: 'n', change: add(1) }, key === undefined ? {} : { key });
      await ap.settle();
      return said;
    };
    await count();
    await ap.world.wait(ap.machine(1).vault.current.sync());
    expect(await count('once')).toBe('2 pending');
    await count();
    await ap.world.run(500);
    expect(filesOf(ap)).toBe(1);
    ap.machine(1).crash({ keeps: () => 0 });
    ap.split([[1], [2, 3]]);
    let told: { answer: CallAnswer | null } = { answer: null };
    ap.machine(1).onStarted = () => {
      told = ap.begin(1, { key: 'n', change: add(1) }, { key: 'once' });
    };
    await ap.world.wait(ap.machine(1).start());
    await ap.world.until(() => told.answer !== null);
    expect(told.answer).toMatchObject({ ok: true, result: '2', repeated: true });
    expect(await ap.look(1, 'n')).toBe(3);
  });

  test('waits for the log where an earlier version has forgotten it too early', async () => {
    const saved = vi.spyOn(RaftNode.prototype, 'savedCommitIndex', 'get').mockReturnValue(1e9);
    const ap = await merged();
    await ap.world.run(100);
    saved.mockRestore();
    ap.machine(1).crash({ keeps: () => 0 });
    ap.split([[1], [2, 3]]);
    await ap.world.wait(ap.machine(1).start());
    const taken = ap.begin(1, { key: 'stock', take: 3 });
    await ap.world.run(3000);
    expect(taken.answer).toBe(null);
    ap.world.heal();
    await ap.world.until(() => taken.answer !== null);
    expect(taken.answer).toMatchObject({ ok: true, result: '6', pending: false });
  });

  test('what was merged is forgotten though nothing else is written', async () => {
    const ap = await merged();
    await ap.world.run(3000);
    expect(filesOf(ap)).toBe(1);
    expect(ap.machine(1).deltas?.ownBytes).toBe(0);
  });
});
