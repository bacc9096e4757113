import { expect, test } from 'vitest';
import { packCall } from '../../src/base/call-codec.js';
import { Cell } from '../../src/base/cell.js';
import { CALL_TAGS, CALLS_ACROSS_MODES } from '../../src/base/command-versions.js';
import { packDelta } from '../../src/base/delta-codec.js';
import { call, sayCall, startWithProcedure } from './call-records.js';
import { bytes, type Replica } from './replica.js';

/** One call whose name has stood for a procedure of mode `ap` and for one of mode `cp`. */

const FINGERPRINT = 'the same';
const ORIGIN = 'a'.repeat(16);

async function asCp(replica: Replica, version: number, fingerprint = FINGERPRINT): Promise<string> {
  const record = call('k', { fingerprint, bornIndex: 1, writes: { cp: '1' } });
  const [answer] = await replica.run({ calls: [packCall(record)] }, version);
  return sayCall(answer);
}

/** @returns what the counter is then */
async function asAp(replica: Replica, version: number, sequence = 1): Promise<number> {
  const delta = packDelta({
    ...{ origin: ORIGIN, sequence, timeMs: 1000, count: 0, isNamed: false, key: bytes('k') },
    ...{ fingerprint: bytes(FINGERPRINT), procedure: 'p', hash: 'ab'.repeat(32), result: '"ap"' },
    writes: [{ key: 'n', change: { cell: 'counter', type: 'add', by: 1 } }],
  });
  await replica.run({ merge: { members: ['n1.1'], reports: [], deltas: [delta] } }, version);
  expect(replica.machine.mergedThrough(ORIGIN)).toBe(sequence);
  const found = replica.machine.get(bytes('_cells/n'), null);
  return found === null ? 0 : Number(JSON.parse(Cell.decode(found.value)?.view() ?? '0'));
}

test('is answered with what was merged, and not applied again', async () => {
  const replica = await startWithProcedure();
  expect(await asAp(replica, CALLS_ACROSS_MODES)).toBe(1);
  const { revision } = replica.machine;
  expect(await asCp(replica, CALLS_ACROSS_MODES)).toBe(`again "ap"@${revision}`);
  await replica.restart();
  expect(await asCp(replica, CALLS_ACROSS_MODES)).toBe(`again "ap"@${revision}`);
  expect(replica.machine.get(bytes('cp'), null)).toBeNull();
  expect(await asCp(replica, CALLS_ACROSS_MODES, 'another')).toBe('CALL_KEY_REUSED not-applied');
});

test('does not count again when it is merged behind having been applied', async () => {
  const replica = await startWithProcedure();
  expect(await asCp(replica, CALLS_ACROSS_MODES)).toMatch(/^"k"@/);
  expect(await asAp(replica, CALLS_ACROSS_MODES)).toBe(0);
  await replica.restart();
  expect(await asAp(replica, CALLS_ACROSS_MODES, 2)).toBe(0);
});

test('counts twice in entries of older versions, which mean what they did', async () => {
  const replica = await startWithProcedure();
  expect(await asCp(replica, CALL_TAGS)).toMatch(/^"k"@/);
  expect(await asAp(replica, CALL_TAGS)).toBe(1);
  const other = await startWithProcedure();
  expect(await asAp(other, CALL_TAGS)).toBe(1);
  expect(await asCp(other, CALL_TAGS)).toMatch(/^"k"@/);
});
