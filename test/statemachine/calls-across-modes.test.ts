import { describe, expect, test } from 'vitest';
import { packCall } from '../../src/base/call-codec.js';
import { Cell } from '../../src/base/cell.js';
import { AP_PASTS, CALL_TAGS, CALLS_ACROSS_MODES } from '../../src/base/command-versions.js';
import { packDelta } from '../../src/base/delta-codec.js';
import type { WriteOperation } from '../../src/base/operation.js';
import type { StateMachineOptions } from '../../src/statemachine/state-machine.js';
import {
  type CallFields,
  call,
  deploy,
  failed,
  hashOf,
  sayCall,
  startWithProcedure,
} from './call-records.js';
import { bytes, Replica } from './replica.js';

/** One call whose name has stood for a procedure of mode `ap` and for one of mode `cp`. */

const FINGERPRINT = 'the same';
const ORIGIN = 'a'.repeat(16);

async function asCp(replica: Replica, version: number, fingerprint = FINGERPRINT): Promise<string> {
  const record = call('k', { fingerprint, bornIndex: 1, writes: { cp: '1' } });
  const [answer] = await replica.run({ calls: [packCall(record)] }, version);
  return sayCall(answer);
}

/** @returns what the counter is then */
async function asAp(replica: Replica, version: number, sequence = 1, wallMs = 0): Promise<number> {
  const delta = packDelta({
    ...{ origin: ORIGIN, sequence, timeMs: 1000, count: 0, isNamed: false, key: bytes('k') },
    ...{ fingerprint: bytes(FINGERPRINT), procedure: 'p', hash: 'ab'.repeat(32), result: '"ap"' },
    writes: [{ key: 'n', change: { cell: 'counter', type: 'add', by: 1 } }],
  });
  const merge = { members: ['n1.1'], reports: [], deltas: [delta] };
  await replica.run({ wallMs, merge }, version);
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

describe('of mode cp whose name has stood for ap', () => {
  const KEPT_MS = 1000;
  const bounds = { callKeptMs: KEPT_MS, namedCallKeptMs: 10 * KEPT_MS, clockSkewMsMax: 50 };
  const AP = hashOf('aaaa1111');
  const CP = hashOf('bbbb2222');

  const away = { members: ['n1.1', 'n2.1'], reports: [], deltas: [] };

  /** A replica of members n1.1 and n2.1, where a member may have made the call as one of mode `ap`. */
  async function startWithPast(
    path: readonly WriteOperation[] = [deploy(AP, ['p:ap']), deploy(CP, ['p'])],
    options: StateMachineOptions = {},
  ): Promise<Replica> {
    const replica = await Replica.start({ ...bounds, ...options });
    for (const operation of path) await replica.doIn(AP_PASTS, operation);
    return replica;
  }

  async function applied(
    replica: Replica,
    more: Pick<CallFields, 'isNamed' | 'bornIndex' | 'procedure' | 'end'> & {
      readonly timeMs?: number;
      readonly wallMs?: number;
      readonly version?: number;
      readonly key?: string;
    } = {},
  ): Promise<string> {
    const { timeMs = 0, wallMs = timeMs, version = AP_PASTS, key = 'k', ...rest } = more;
    const bornIndex = replica.log.length - 1;
    const fields = { fingerprint: FINGERPRINT, bornIndex, hash: CP, writes: { cp: '1' }, ...rest };
    const calls = [packCall(call(key, fields))];
    const [answer] = await replica.run({ timeMs, wallMs, calls }, version);
    return sayCall(answer);
  }

  /** Log time goes on, and what is too old is forgotten. */
  async function pass(
    replica: Replica,
    timeMs: number,
    clearedMs: number | null = null,
  ): Promise<void> {
    const report = (origin: string, member: string) => ({
      ...{ origin: origin.repeat(16), member, sequence: 0, timeMs: clearedMs ?? 0 },
    });
    const reports = clearedMs === null ? [] : [report('a', 'n1.1'), report('b', 'n2.1')];
    await replica.run({ timeMs, merge: { ...away, reports } }, AP_PASTS);
    expect(replica.machine.appliedCall(bytes('k'))).toBeNull();
  }

  test('does not count again when a member that was cut off for longer brings it as ap', async () => {
    const replica = await startWithPast();
    expect(await applied(replica)).toMatch(/^"k"@/);
    await pass(replica, 100 * KEPT_MS);
    expect(await asAp(replica, AP_PASTS)).toBe(0);
    await replica.restart();
    await pass(replica, 200 * KEPT_MS);
    expect(await asAp(replica, AP_PASTS, 2)).toBe(0);
  });

  test('is answered as it was for as long', async () => {
    const replica = await startWithPast();
    const first = await applied(replica);
    await pass(replica, 100 * KEPT_MS);
    expect(await applied(replica)).toBe(`again ${first}`);
  });

  test('is forgotten once each member has said that it has nothing as old', async () => {
    const replica = await startWithPast();
    await applied(replica, { timeMs: 10 * KEPT_MS });
    await pass(replica, 20 * KEPT_MS, 11 * KEPT_MS + 50);
    expect(replica.machine.merges.size).toBe(1);
    await pass(replica, 20 * KEPT_MS, 11 * KEPT_MS + 51);
    expect(replica.machine.merges.size).toBe(0);
    expect(replica.store.keys().filter((key) => /^[dD]/.test(key))).toEqual([]);
    expect(replica.machine.revision).toBe(1);
  });

  test.each([
    ['behind', 0],
    ['ahead', 1000 * KEPT_MS],
  ])('is remembered by the time of day, however far log time is %s', async (_, timeMs) => {
    const replica = await startWithPast();
    await applied(replica, { timeMs, wallMs: 50 * KEPT_MS });
    await pass(replica, timeMs + 100 * KEPT_MS, 51 * KEPT_MS + 50);
    expect(replica.machine.merges.size).toBe(1);
    await pass(replica, timeMs + 100 * KEPT_MS, 51 * KEPT_MS + 51);
    expect(replica.machine.merges.size).toBe(0);
  });

  test('is not applied anew when it was merged before, and that is forgotten', async () => {
    const asked = async (version: number): Promise<string> => {
      const replica = await startWithPast();
      const bornIndex = replica.log.length;
      const report = (origin: string, member: string, sequence: number) => ({
        ...{ origin: origin.repeat(16), member, sequence, timeMs: 100 * KEPT_MS },
      });
      expect(await asAp(replica, version)).toBe(1);
      const reports = [report('a', 'n1.1', 1), report('b', 'n2.1', 0)];
      await replica.run({ merge: { ...away, reports } }, version);
      expect(replica.machine.merges.size).toBe(0);
      return await applied(replica, { bornIndex, version });
    };
    expect(await asked(AP_PASTS)).toBe('CALL_EXPIRED unknown');
    expect(await asked(AP_PASTS - 1)).toMatch(/^"k"@/);
  });

  test('and one of another name is no older for what was merged late, and is forgotten', async () => {
    const replica = await startWithPast([deploy(CP, ['q'])]);
    const bornIndex = replica.log.length;
    expect(await asAp(replica, AP_PASTS, 1, 100 * KEPT_MS)).toBe(1);
    const report = (origin: string, member: string, sequence: number) => ({
      ...{ origin: origin.repeat(16), member, sequence, timeMs: 100 * KEPT_MS },
    });
    const merge = { ...away, reports: [report('a', 'n1.1', 1), report('b', 'n2.1', 0)] };
    await replica.run({ merge, wallMs: 100 * KEPT_MS }, AP_PASTS);
    expect(await applied(replica, { bornIndex, procedure: 'q', key: 'other' })).toMatch(
      /^"other"@/,
    );
  });

  test('with a key of its caller is remembered for as long as such are', async () => {
    const replica = await startWithPast();
    await applied(replica, { isNamed: true });
    await pass(replica, 20 * KEPT_MS, 10 * KEPT_MS + 50);
    expect(replica.machine.merges.size).toBe(1);
    await pass(replica, 20 * KEPT_MS, 10 * KEPT_MS + 51);
    expect(replica.machine.merges.size).toBe(0);
  });

  test('is refused when too many are remembered', async () => {
    const replica = await startWithPast(undefined, { mergedKeysMax: 1 });
    const first = await applied(replica);
    expect(await applied(replica, { key: 'other' })).toBe('MERGED_KEYS_FULL not-applied');
    const end = failed('OUT_OF_STOCK');
    expect(await applied(replica, { key: 'other', end })).toMatch(
      /^PROCEDURE_FAILED|^OUT_OF_STOCK/,
    );
    expect(await applied(replica)).toBe(`again ${first}`);
  });

  test('is told to who holds a delta of it', async () => {
    const replica = await startWithPast();
    const told: string[] = [];
    replica.machine.onCounted(({ key, origin }) => told.push(`${Buffer.from(key)} "${origin}"`));
    await applied(replica);
    await applied(replica);
    expect(told).toEqual(['k ""']);
  });

  const gone: WriteOperation = { type: 'alias-remove', name: 'p', alias: 'prod' };
  const newer = Array.from({ length: 20 }, (_, n) => deploy(hashOf(`cccc${1000 + n}`), ['p']));
  const back: WriteOperation = {
    ...{ type: 'alias-set', name: 'p', alias: 'prod', hash: CP, expected: null },
  };
  test.each([
    ['under another alias', [deploy(AP, ['p:ap'], { alias: 'staging' }), deploy(CP, ['p'])]],
    ['though the alias was removed', [deploy(AP, ['p:ap']), gone, deploy(CP, ['p'])]],
    ['longer ago than aliases go back', [deploy(AP, ['p:ap']), ...newer, deploy(CP, ['p'])]],
    ['and went back from there', [deploy(CP, ['p']), deploy(AP, ['p:ap']), back]],
  ] as const)('%s', async (_, path) => {
    const replica = await startWithPast(path);
    await applied(replica);
    expect(replica.machine.merges.size).toBe(1);
    await replica.restart();
    await applied(replica, { key: 'other' });
    expect(replica.machine.merges.size).toBe(2);
  });

  test.each([
    [
      'and the same code was deployed again',
      [],
      [deploy(AP, ['p:ap']), deploy(CP, ['p'], { alias: 'staging' })],
      'p@staging',
    ],
    ['from where it is moved now', [], [deploy(CP, ['p'])], 'p'],
    ['from where it was moved', [deploy(CP, ['p'])], [], 'p'],
    ['and was removed since', [], [gone, deploy(CP, ['p'])], 'p'],
  ])('before entries knew of that, %s', async (_, older, newer, procedure) => {
    const replica = await startWithPast([]);
    for (const operation of [deploy(AP, ['p:ap']), ...older]) {
      await replica.doIn(AP_PASTS - 1, operation);
    }
    await replica.restart();
    for (const operation of newer) await replica.doIn(AP_PASTS, operation);
    await applied(replica, { procedure });
    expect(replica.machine.merges.size).toBe(1);
  });

  test('is any one whose name is not among those that are told apart', async () => {
    const replica = await startWithPast([], { aliasesMax: 1 });
    const remove = (name: string): WriteOperation => ({
      type: 'alias-remove',
      name,
      alias: 'prod',
    });
    for (let n = 0; n < 10; n += 1) {
      await replica.doIn(AP_PASTS, deploy(CP, ['p']));
      await applied(replica, { key: `${n}` });
      expect(replica.machine.merges.size).toBe(0);
      await replica.doIn(AP_PASTS, remove('p'));
      await replica.doIn(AP_PASTS, deploy(AP, [`ap${n}:ap`]));
      await replica.doIn(AP_PASTS, remove(`ap${n}`));
    }
    await replica.doIn(AP_PASTS, deploy(CP, ['p']));
    await applied(replica);
    expect(replica.machine.merges.size).toBe(1);
  });

  test('never, or in an older entry, is remembered as others are', async () => {
    const never = await startWithPast([deploy(AP, ['other:ap']), deploy(CP, ['p'])]);
    await applied(never);
    expect(never.machine.merges.size).toBe(0);
    const older = await startWithPast();
    await applied(older, { version: AP_PASTS - 1 });
    expect(older.machine.merges.size).toBe(0);
    await pass(older, 100 * KEPT_MS);
    expect(await asAp(older, AP_PASTS)).toBe(1);
  });
});
