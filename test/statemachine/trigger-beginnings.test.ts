import { describe, expect, test } from 'vitest';
import { TRIGGER_BEGINNINGS } from '../../src/base/command-versions.js';
import type { WriteOperation } from '../../src/base/operation.js';
import { deploy, hashOf } from './call-records.js';
import { put, Replica } from './replica.js';

const A = hashOf('aaaa1111');
const B = hashOf('bbbb2222');
const C = hashOf('cccc3333');

/** `ship` stands for such code now. @param trigger `null`: it is none */
function ship(hash: string, trigger: string | null = 'orders/', alias = 'prod'): WriteOperation {
  const procedures = [{ name: 'ship', mode: 'cp' as const, trigger }];
  return { ...deploy(hash, ['ship'], { alias }), procedures } as WriteOperation;
}

function back(hash: string): WriteOperation {
  return { type: 'alias-set', name: 'ship', alias: 'prod', hash, expected: null };
}

/** Each operation behind a write of its own, so the n-th from 0 is at revision n + 1. @returns since when `ship` is a trigger */
async function since(
  operations: readonly WriteOperation[],
  version: number | readonly number[],
  aliasHistoryMax = 10,
): Promise<number | undefined> {
  const replica = await Replica.start({ aliasHistoryMax });
  for (const [n, operation] of operations.entries()) {
    await replica.do(put('a', `${n}`));
    const own = typeof version === 'number' ? version : version[n];
    await replica.doIn(own ?? TRIGGER_BEGINNINGS, operation);
  }
  const [trigger] = replica.machine.triggers();
  const hash = replica.machine.stateHash;
  await replica.restart(0);
  expect(replica.machine.triggers()[0]).toEqual(trigger);
  await replica.restart();
  expect([replica.machine.triggers()[0], replica.machine.stateHash]).toEqual([trigger, hash]);
  return trigger?.sinceRevision;
}

describe('a trigger is for what was written', () => {
  const v = TRIGGER_BEGINNINGS;

  test('since it was deployed, and not since its name stood for something else', async () => {
    expect(await since([ship(A)], v)).toBe(1);
    expect(await since([ship(A, null), ship(B)], v)).toBe(2);
    expect(await since([ship(A, 'items/'), ship(B)], v)).toBe(2);
    expect(await since([ship(A), ship(B, null), ship(C)], v)).toBe(3);
    expect(await since([ship(A), ship(B, 'orders/', 'staging')], v)).toBe(1);
  });

  test('since the first one in a row with its prefix, however far back it lies', async () => {
    expect(await since([ship(A), ship(B), ship(C)], v)).toBe(1);
    expect(await since([ship(A), ship(B), back(A)], v)).toBe(1);
    expect(await since([ship(A), ship(B), ship(C)], v, 2)).toBe(1);
    expect(await since([ship(A, null), ship(B), back(A), back(B)], v)).toBe(4);
  });

  test('since it was deployed anew, when the name stood for nothing', async () => {
    const gone: WriteOperation = { type: 'alias-remove', name: 'ship', alias: 'prod' };
    expect(await since([ship(A), gone, ship(A)], v)).toBe(3);
  });

  test('since the oldest that its name could go back to, as far as older entries say so', async () => {
    expect(await since([ship(A), ship(B), ship(C)], v - 1)).toBe(1);
    expect(await since([ship(A, null), ship(B)], v - 1)).toBe(1);
    expect(await since([ship(A), ship(B), back(A)], v - 1)).toBe(2);
    // From there on newer ones go on.
    expect(await since([ship(A), ship(B), ship(C)], [v - 1, v - 1, v])).toBe(1);
    expect(await since([ship(A), ship(B), back(A), ship(C)], [v - 1, v - 1, v - 1, v])).toBe(2);
    expect(await since([ship(A, null), ship(B)], [v - 1, v])).toBe(2);
  });
});
