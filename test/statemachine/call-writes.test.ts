import { describe, expect, test } from 'vitest';
import type { KeyDefault, KeyUpdate } from '../../src/base/call.js';
import type { WriteOperation } from '../../src/base/operation.js';
import {
  add,
  call,
  max,
  sayCall,
  setIfAbsent,
  startWithProcedure,
  submit,
  submitAt,
} from './call-records.js';
import { compact } from './operations.js';
import { bytes, put } from './replica.js';

/** What becomes of a key that holds `before` (`null`: nothing). */
async function updated(
  before: string | null,
  updates: readonly (KeyUpdate | KeyDefault)[],
): Promise<string> {
  const replica = await startWithProcedure();
  if (before !== null) await replica.do(put('n', before));
  const { revision } = replica.machine;
  const [said = ''] = await submit(replica, call('c', { updates, writes: { other: '' } }));
  const value = replica.machine.get(bytes('n'), null)?.value;
  const now = value === undefined ? 'nothing' : Buffer.from(value).toString();
  if (said === `"c"@${revision + 1}`) return now;
  // All of it or nothing.
  expect(now).toBe(before ?? 'nothing');
  expect(replica.machine.get(bytes('other'), null)).toBeNull();
  expect(replica.machine.revision).toBe(revision);
  return said;
}

const REFUSED = 'PROCEDURE_FAILED not-applied';

describe('an update of a key that was not read', () => {
  test.each<[string, string | null, readonly (KeyUpdate | KeyDefault)[], string]>([
    ['add', '40', [add('n', 2)], '42'],
    ['add of less than nothing', '1.5', [add('n', -2.25)], '-0.75'],
    ['add to nothing', null, [add('n', 3)], '3'],
    ['add with spaces around', ' 1\n', [add('n', 1)], '2'],
    ['add to a large number', '1e300', [add('n', 1)], '1e+300'],
    ['add of nothing', '-0', [add('n', 0)], '0'],
    ['max of more', '5', [max('n', 7)], '7'],
    ['max of less', '5', [max('n', 3)], '5'],
    ['max with nothing', null, [max('n', -3)], '-3'],
    ['max below nothing', '-5', [max('n', -3)], '-3'],
    ['set if absent', null, [setIfAbsent('n', '"new"')], '"new"'],
    ['set if absent with something', 'no JSON', [setIfAbsent('n', '"new"')], 'no JSON'],
    ['add twice', '1', [add('n', 1), add('n', 1)], '3'],
    ['add, then max', '1', [add('n', 1), max('n', 10), add('n', 1)], '11'],
    ['add behind set if absent', null, [setIfAbsent('n', '5'), add('n', 1)], '6'],
    ['add behind set if absent with something', '1', [setIfAbsent('n', '5'), add('n', 1)], '2'],
    ['set if absent behind add', null, [add('n', 1), setIfAbsent('n', '5')], '1'],
    ['set if absent twice', null, [setIfAbsent('n', '1'), setIfAbsent('n', '2')], '1'],
    ['add to text', '"1"', [add('n', 1)], REFUSED],
    ['max of no JSON', '{', [max('n', 1)], REFUSED],
    ['add to null', 'null', [add('n', 1)], REFUSED],
    ['add to an empty value', '', [add('n', 1)], REFUSED],
    ['add to what has no end', '1e999', [add('n', 1)], REFUSED],
    ['add beyond all numbers', '1.7e308', [add('n', 1.7e308)], REFUSED],
    ['add behind text set if absent', null, [setIfAbsent('n', '"x"'), add('n', 1)], REFUSED],
    ['one that can be before one that cannot', 'x', [add('m', 1), add('n', 1)], REFUSED],
  ])('%s: %j', async (_what, before, updates, expected) => {
    expect(await updated(before, updates)).toBe(expected);
  });

  test('has no conflict with anyone, in an entry and behind it, and sees what is before it', async () => {
    const replica = await startWithProcedure();
    const increment = (key: string) => call(key, { updates: [add('n', 1)] });
    const answers = await submitAt(replica, 0, [increment('1'), increment('2')], [put('n', '10')]);
    expect(answers.map(sayCall)).toEqual(['"1"@2', '"2"@3']);
    expect(
      await submit(
        replica,
        call('3', { writes: { n: '20' } }),
        increment('4'),
        call('5', { writes: { n: null } }),
        increment('6'),
        call('7', { updates: [setIfAbsent('n', '"x"'), setIfAbsent('m', '"x"')] }),
      ),
    ).toEqual(['"3"@4', '"4"@5', '"5"@6', '"6"@7', '"7"@8']);
    expect(await replica.items()).toEqual(['m="x"', 'n=1']);
    expect(replica.machine.get(bytes('n'), 5)?.value).toEqual(bytes('21'));
  });

  test('that leads to nothing new is a write all the same, but set if absent is not', async () => {
    const replica = await startWithProcedure();
    await replica.do(put('n', '5'));
    expect(
      await submit(
        replica,
        call('1', { updates: [max('n', 1)] }),
        call('2', { updates: [setIfAbsent('n', '7')] }),
        call('3', { reads: { n: 2 } }),
      ),
    ).toEqual(['"1"@2', '"2"@2', '"3"@2']);
  });

  test('says which key and why when it cannot be', async () => {
    const replica = await startWithProcedure();
    await replica.do(put('n', '"one"'));
    const [answer] = await submitAt(replica, 0, [call('c', { updates: [add('n', 1)] })]);
    if (answer?.ok !== false) throw new Error('refused');
    expect(answer.error.message).toBe('ctx.add of "n": what is there is not a number');
  });

  test('that was refused is not remembered', async () => {
    const replica = await startWithProcedure();
    await replica.do(put('n', '"one"'));
    const record = call('c', { updates: [add('n', 1)] });
    expect(await submit(replica, record)).toEqual([REFUSED]);
    await replica.do(put('n', '1'));
    expect(await submit(replica, record)).toEqual(['"c"@3']);
  });

  test('of a key that the call writes is refused with the whole call', async () => {
    const replica = await startWithProcedure();
    const record = call('c', { writes: { n: '1', m: '1' }, updates: [add('n', 1)] });
    expect(await submit(replica, record)).toEqual(['KEY_DUPLICATE not-applied']);
    expect(await replica.items()).toEqual([]);
  });
});

describe('events of a call', () => {
  test('are keys, counted by name from 0 in each call anew', async () => {
    const replica = await startWithProcedure();
    const emit = (...names: string[]) => names.map((name, n) => [name, `${n}`] as const);
    await submit(
      replica,
      call('1', { events: emit('paid', 'sent', 'paid', 'paid') }),
      call('2', { events: emit('sent', 'paid') }),
    );
    expect(await replica.items()).toEqual([
      '_events/paid/0=1',
      '_events/paid/1=2',
      '_events/paid/2=3',
      '_events/sent/0=0',
    ]);
    // Each was told: the history has them all.
    const { events } = await replica.machine.history({
      ...{ fromRevision: 1, eventsMax: 20, bytesMax: 1000 },
    });
    expect(events.map((e) => `${e.revision}.${e.sub}`)).toEqual([
      ...['1.0', '1.1', '1.2', '1.3'],
      ...['2.0', '2.1'],
    ]);
  });
});

describe('what a call may not write', () => {
  const settings = (spaceQuotaBytes: number): WriteOperation => ({
    ...{ type: 'settings', change: { spaceQuotaBytes } },
  });

  test('for want of space refuses all of it, deletions alone go on', async () => {
    const replica = await startWithProcedure();
    await replica.do(put('a', '1234'), put('b', '1'));
    await replica.do(settings(7));
    const write = call('1', { writes: { a: null, c: '1' } });
    const said = await submit(
      replica,
      write,
      call('2', { updates: [setIfAbsent('d', '1')] }),
      call('3', { events: [['e', '1']] }),
      call('4', { dependsOn: [0] }),
      call('5', { writes: { b: null } }),
      call('6', { updates: [setIfAbsent('a', '1')] }),
    );
    const full = 'NO_SPACE not-applied';
    expect(said).toEqual([full, full, full, 'TXN_CONFLICT not-applied', '"5"@3', '"6"@3']);
    expect(await replica.items()).toEqual(['a=1234']);
    expect(replica.machine.info().spaceBytes).toBe(8);
    const [refused] = await submitAt(replica, 0, [write]);
    // With the deletion that came before it.
    expect(refused).toMatchObject({
      error: { retryable: false, details: { spaceBytes: 9, spaceQuotaBytes: 7 } },
    });
    expect(replica.machine.info().spaceBytes).toBe(8);
    await replica.do(settings(0));
    expect(await submit(replica, write)).toEqual(['"1"@4']);
  });

  test('within its first writes gives the space of those back', async () => {
    const replica = await startWithProcedure();
    await replica.do(settings(10));
    const record = call('c', { writes: { a: '123456', b: '123456', c: '' } });
    expect(await submit(replica, record)).toEqual(['NO_SPACE not-applied']);
    expect(replica.machine.info()).toMatchObject({ spaceBytes: 0, revision: 0 });
    const answers = await submitAt(replica, 0, [call('d', { writes: { a: '1' } })]);
    expect(answers.map(sayCall)).toEqual(['"d"@1']);
  });

  test('beyond the quota of a namespace refuses all of it', async () => {
    const replica = await startWithProcedure();
    await replica.do({ type: 'namespace-set', name: 'n', prefix: bytes('n/'), quotaBytes: 8 });
    const used = () => replica.machine.info().namespaces[0];
    const said = await submit(
      replica,
      call('1', { writes: { 'n/1': '1', other: 'x'.repeat(50) } }),
      call('2', { writes: { x: '', 'n/2': '1', 'n/3': '' }, events: [['e', '']] }),
      call('3', { writes: { 'n/1': null, 'n/2': '12345' } }),
      call('4', { updates: [add('n/2', 1000)] }),
      call('5', { updates: [add('n/2', 1e6)] }),
    );
    const full = 'QUOTA_EXCEEDED not-applied';
    expect(said).toEqual(['"1"@1', full, '"3"@2', '"4"@3', full]);
    expect(used()).toMatchObject({ usedBytes: 8, keys: 1 });
  });

  test('beyond 65,535 writes refuses all of it', async () => {
    const replica = await startWithProcedure();
    const many = Object.fromEntries(Array.from({ length: 65_536 }, (_, n) => [`k${n}`, '']));
    const said = await submit(replica, call('1', { writes: many }));
    expect(said).toEqual(['TXN_TOO_LARGE not-applied']);
    expect(replica.machine.revision).toBe(0);
  });
});

describe('what a call has read', () => {
  test('is as it was when its history was compacted and swept', async () => {
    const replica = await startWithProcedure();
    await replica.do(put('a', '1'), put('b', '1'), put('gone', '1'));
    await replica.do({ type: 'delete', key: bytes('gone') }, put('c', '1'), compact(5));
    const read = (key: string) =>
      call(key, { reads: { a: 1, gone: 0 }, ranges: [['a', 'z', 3, 5]], writes: { z: key } });
    const answers = await replica.run({
      system: [{ type: 'sweep', records: 100 }],
      calls: [],
    });
    expect(answers).toEqual([]);
    expect(await submit(replica, read('c'))).toEqual(['"c"@6']);
  });
});
