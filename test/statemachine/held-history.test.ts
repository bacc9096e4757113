import { describe, expect, test } from 'vitest';
import { OWN_TRIGGER_CURSORS } from '../../src/base/command-versions.js';
import { packTriggerCursor, triggerCursorKey } from '../../src/statemachine/trigger-cursors.js';
import { deploy, hashOf } from './call-records.js';
import { compact, sayAll } from './operations.js';
import { put, Replica } from './replica.js';

const A = hashOf('aaaa1111');
const B = hashOf('bbbb2222');

const settings = (change: object) => ({ type: 'settings' as const, change });

/** A trigger that was deployed at revision 2, of five. */
async function withTrigger(): Promise<Replica> {
  const replica = await Replica.start();
  await replica.do(put('a', '1'), put('a', '2'));
  const procedures = [{ name: 'ship', mode: 'cp' as const, trigger: 'orders/' }];
  await replica.do(
    { ...deploy(A, ['ship']), procedures },
    { type: 'alias-set', name: 'ship', alias: 'prod', hash: A, expected: null },
  );
  await replica.do(put('orders/1', 'x'), put('a', '3'), put('a', '4'));
  return replica;
}

/** The trigger was called with all through this revision. */
function called(revision: number) {
  const value = packTriggerCursor({ revision, sub: 0 });
  return { type: 'put' as const, key: triggerCursorKey('ship'), value };
}

describe('history that a trigger has not been called with', () => {
  test('is not compacted: what is asked for is done as far as it can be', async () => {
    const replica = await withTrigger();
    const [result] = await replica.do(compact(5));
    expect(result).toEqual({ type: 'done', revision: 5, compactedRevision: 3 });
    expect(replica.machine.compactedRevision).toBe(3);
  });

  test('says whose it is when nothing can be done', async () => {
    const replica = await withTrigger();
    await replica.do(compact(3));
    const [result] = await replica.do(compact(5));
    expect(result).toMatchObject({
      ...{ type: 'error', code: 'COMPACTION_HELD', details: { revision: 3 } },
      message: expect.stringContaining('the trigger ship has not been called'),
    });
  });

  test('is said to be of the same one at all replicas, also when several are as far behind', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'));
    const procedures = ['ship', 'bill'].map((name) => {
      return { name, mode: 'cp' as const, trigger: 'orders/' };
    });
    await replica.do({ ...deploy(A, ['ship', 'bill']), procedures });
    await replica.do(put('a', '2'), put('a', '3'), compact(2));
    const before = replica.log.length;
    const [result] = await replica.do(compact(3));
    expect(result).toMatchObject({ message: expect.stringContaining('the trigger bill has not') });
    const { stateHash } = replica.machine;
    // One that was started anew has read them from the store, in the order of their names.
    await replica.restart(before);
    expect(replica.machine.stateHash).toBe(stateHash);
  });

  test('goes as soon as it was called with it', async () => {
    const replica = await withTrigger();
    await replica.do(called(4));
    const [result] = await replica.do(compact(6));
    expect(result).toMatchObject({ type: 'done', compactedRevision: 5 });
  });

  test('is not what another trigger of the name has not been called with, which is gone', async () => {
    const compacted = async (version: number): Promise<number> => {
      const replica = await withTrigger();
      const procedures = [{ name: 'ship', mode: 'cp' as const, trigger: 'items/' }];
      await replica.do(called(3));
      await replica.doIn(OWN_TRIGGER_CURSORS, { ...deploy(B, ['ship']), procedures });
      await replica.doIn(version, compact(6));
      return replica.machine.compactedRevision;
    };
    expect(await compacted(OWN_TRIGGER_CURSORS)).toBe(6);
    // As older entries did.
    expect(await compacted(OWN_TRIGGER_CURSORS - 1)).toBe(4);
  });

  test('goes when there is no such trigger any more', async () => {
    const replica = await withTrigger();
    await replica.do({ type: 'alias-remove', name: 'ship', alias: 'prod' });
    expect(sayAll(await replica.do(compact(5)))).toEqual(['done@5']);
    expect(replica.machine.compactedRevision).toBe(5);
  });

  test('holds back what the leader compacts by itself', async () => {
    const replica = await withTrigger();
    await replica.system(0, { type: 'compact', revision: 5 });
    expect(replica.machine.compactedRevision).toBe(3);
    await replica.system(0, { type: 'compact', revision: 5 });
    expect(replica.machine.compactedRevision).toBe(3);
  });

  test('does not keep a store full', async () => {
    const replica = await withTrigger();
    await replica.do(settings({ spaceQuotaBytes: 1 }), compact(5));
    expect(replica.machine.compactedRevision).toBe(5);
  });
});
