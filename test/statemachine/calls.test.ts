import { describe, expect, test } from 'vitest';
import { type CallRecord, EVENT_PREFIX } from '../../src/base/call.js';
import { packCall } from '../../src/base/call-codec.js';
import { LIMITS } from '../../src/base/limits.js';
import type { WriteOperation } from '../../src/base/operation.js';
import {
  type CallFields,
  CONFLICT,
  call,
  deploy,
  failed,
  filled,
  HASH,
  hashOf,
  sayCall,
  startWithProcedure,
  submit,
  submitAt,
} from './call-records.js';
import { delRange, grant, putWith } from './operations.js';
import { bytes, del, put, Replica } from './replica.js';

/** What a call writes that must not be there when it is rejected. */
const MARK = { writes: { mark: 'x', a: 'y' }, events: [['marked', '1']] as const };

/** Rejected, and nothing of it is there; as if it had never come, it may come again. */
async function expectRejected(replica: Replica, record: CallRecord): Promise<void> {
  const { revision } = replica.machine;
  const items = await replica.items();
  const { spaceBytes } = replica.machine.info();
  expect(await submit(replica, record)).toEqual([CONFLICT]);
  expect(await replica.items()).toEqual(items);
  expect(replica.machine.revision).toBe(revision);
  expect(replica.machine.info().spaceBytes).toBe(spaceBytes);
  expect(await submit(replica, { ...record, reads: [], ranges: [] })).toEqual([
    `${record.end.ok ? record.end.result : ''}@${revision + 1}`,
  ]);
}

describe('a call', () => {
  test('is applied when what it has read is as it was', async () => {
    const replica = await filled();
    const said = await submit(
      replica,
      call('c', {
        reads: { a: 1, b: 2, f: 0, never: 0 },
        ranges: [
          ['a', 'c', 2, 2],
          ['b', null, 4, 5],
          ['x', null, 0, 0],
        ],
        writes: { a: '1', new: '2', e: null, never: null },
      }),
    );
    expect(said).toEqual(['"c"@8']);
    expect(await replica.items()).toEqual(['a=1', 'b=0', 'c=0', 'd=0', 'new=2']);
    expect(replica.machine.get(bytes('a'), null)).toMatchObject({ modRevision: 8, version: 2 });
  });

  test.each<[string, CallFields, readonly WriteOperation[]]>([
    ['a key was overwritten', { reads: { a: 1 } }, [put('a', '0')]],
    ['the last of several keys was', { reads: { a: 1, x: 0, b: 2 } }, [put('b', '1')]],
    ['a key was deleted', { reads: { a: 1 } }, [del('a')]],
    ['a key was deleted with a range', { reads: { c: 3 } }, [delRange('b', 'd')]],
    ['a key was deleted and made again', { reads: { a: 1 } }, [del('a'), put('a', '0')]],
    ['a key was created', { reads: { x: 0 } }, [put('x', '')]],
    ['a deleted key was made again', { reads: { f: 0 } }, [put('f', '0')]],
    ['a key of a range was overwritten', { ranges: [['b', 'd', 2, 3]] }, [put('b', '1')]],
    ['the newest key of a range was', { ranges: [['b', 'd', 2, 3]] }, [put('c', '1')]],
    ['a key was put into a range', { ranges: [['b', 'd', 2, 3]] }, [put('bb', '')]],
    ['one was put at its beginning', { ranges: [['bb', 'd', 1, 3]] }, [put('bb', '')]],
    ['one was put into a range without end', { ranges: [['b', null, 4, 5]] }, [put('z', '')]],
    ['one was put into an empty range', { ranges: [['x', 'z', 0, 0]] }, [put('y', '')]],
    ['a key of a range was deleted', { ranges: [['b', 'd', 2, 3]] }, [del('b')]],
    ['the newest key of a range was deleted', { ranges: [['b', 'd', 2, 3]] }, [del('c')]],
    ['all of a range was', { ranges: [['b', 'd', 2, 3]] }, [delRange('a', null)]],
    ['one was put for one deleted', { ranges: [['b', 'd', 2, 3]] }, [put('bb', ''), del('b')]],
    ['one was deleted for one put', { ranges: [['b', 'd', 2, 3]] }, [del('c'), put('cc', '')]],
    [
      'the second of two ranges has another key',
      {
        ranges: [
          ['a', 'b', 1, 1],
          ['b', 'd', 2, 3],
        ],
      },
      [put('bb', '')],
    ],
  ])('is rejected when %s since, and nothing of it is there', async (_what, read, writes) => {
    for (const sameEntry of [false, true]) {
      const replica = await filled();
      const record = call('c', { ...read, ...MARK });
      if (sameEntry) {
        const answers = await submitAt(replica, 0, [record], writes);
        expect(answers.map(sayCall)).toEqual([CONFLICT]);
        expect(await replica.items({ from: bytes('m'), to: bytes('n') })).toEqual([]);
      } else {
        await replica.do(...writes);
        await expectRejected(replica, record);
      }
    }
  });

  test.each<[string, CallFields, readonly WriteOperation[]]>([
    ['of other keys', { reads: { a: 1, x: 0 } }, [put('b', '1'), put('xx', ''), del('c')]],
    ['before and behind the range', { ranges: [['b', 'd', 2, 3]] }, [put('a', ''), put('d', '')]],
    ['behind as far as was read', { ranges: [['b', 'b\0', 1, 2]] }, [put('ba', ''), del('c')]],
    ['that are undone: a key not there', { reads: { x: 0 } }, [put('x', ''), del('x')]],
    [
      'that are undone: a key of a range',
      { ranges: [['b', 'd', 2, 3]] },
      [put('cc', ''), del('cc')],
    ],
  ])('is applied when others wrote since: %s', async (_what, read, writes) => {
    for (const sameEntry of [false, true]) {
      const replica = await filled();
      if (!sameEntry) await replica.do(...writes);
      const record = call('c', { ...read, ...MARK });
      const [answer] = await submitAt(replica, 0, [record], sameEntry ? writes : []);
      expect(sayCall(answer)).toBe(`"c"@${replica.machine.revision}`);
      expect(replica.machine.get(bytes('mark'), null)?.value).toEqual(bytes('x'));
    }
  });

  test('is rejected when a key went with its lease, in the same entry too', async () => {
    const replica = await filled();
    await replica.do(grant(1), putWith('g', '0', { lease: 1 }));
    const record = call('c', { reads: { g: 8 }, ...MARK });
    const [, answer] = await replica.run({
      ...{ timeMs: 5000, system: [{ type: 'expire', leases: [1] }] },
      calls: [call('b', { reads: { a: 1 } }), record].map(packCall),
    });
    expect(sayCall(answer)).toBe(CONFLICT);
    await expectRejected(replica, record);
  });

  test('that writes nothing is held to what it has read, too, and has the revision of the store', async () => {
    const replica = await filled();
    expect(
      await submit(
        replica,
        call('1', { reads: { a: 1 } }),
        call('2', { reads: { a: 2 } }),
        call('3', { writes: { never: null } }),
      ),
    ).toEqual(['"1"@7', CONFLICT, '"3"@7']);
    expect(replica.machine.revision).toBe(7);
  });

  test('has one revision for all that it writes, in the order of writes, updates and events', async () => {
    const replica = await filled();
    const record = call('c', {
      writes: { z: '1', a: null, y: '2' },
      updates: [{ type: 'add', key: bytes('n'), by: 1 }],
      events: [
        ['paid', '{"id":1}'],
        ['sent', '{}'],
        ['paid', '{"id":2}'],
      ],
    });
    expect(await submit(replica, record)).toEqual(['"c"@8']);
    const { events } = await replica.machine.history({
      ...{ fromRevision: 8, eventsMax: 20, bytesMax: 1000 },
    });
    expect(events.map((e) => `${e.revision}.${e.sub} ${e.type} ${e.key} ${e.value}`)).toEqual([
      '8.0 put z 1',
      '8.1 delete a ',
      '8.2 put y 2',
      '8.3 put n 1',
      '8.4 put _events/paid/0 {"id":1}',
      '8.5 put _events/sent/0 {}',
      '8.6 put _events/paid/1 {"id":2}',
    ]);
    expect(EVENT_PREFIX).toBe('_events/');
  });

  test('that writes a key in two ways is refused as a whole', async () => {
    const replica = await filled();
    const twice = call('c', { writes: { a: '1' } });
    const [answer] = await submitAt(replica, 0, [
      { ...twice, writes: [...twice.writes, ...twice.writes] },
    ]);
    expect(sayCall(answer)).toBe('KEY_DUPLICATE not-applied');
    expect(replica.machine.get(bytes('a'), null)?.value).toEqual(bytes('0'));
  });

  test('behind a call sees what that one has written', async () => {
    const replica = await filled();
    expect(await submit(replica, call('1', { reads: { a: 1 }, writes: { a: '1' } }))).toEqual([
      '"1"@8',
    ]);
    expect(
      await submit(
        replica,
        call('2', { reads: { a: 8 }, writes: { a: '2' } }),
        call('3', { reads: { a: 8 }, writes: { a: '3' } }),
      ),
    ).toEqual(['"2"@9', CONFLICT]);
  });

  test.each([false, true])(
    'is one of a pair that would each break what the other has read: never both (%s: reversed)',
    async (reversed) => {
      const both = { x: 1, y: 2 };
      const pair = [
        call('x', { reads: both, writes: { x: '0' } }),
        call('y', { reads: both, writes: { y: '0' } }),
      ];
      if (reversed) pair.reverse();
      const ranges = pair.map((one, n) => ({
        ...call(`range ${n}`, { ranges: [['x', 'z', 2, 2]] }),
        writes: one.writes,
      }));
      for (const records of [pair, ranges]) {
        const together = await startWithProcedure();
        await together.do(put('x', '1'), put('y', '1'));
        const apart = await startWithProcedure();
        await apart.do(put('x', '1'), put('y', '1'));
        const said = await submit(together, ...records);
        expect(said).toEqual([expect.stringContaining('@3'), CONFLICT]);
        for (const [n, record] of records.entries()) {
          expect(await submit(apart, record)).toEqual([said[n]]);
        }
        expect(await apart.items()).toEqual(await together.items());
        expect(await together.items()).toHaveLength(2);
      }
    },
  );
});

describe('the code that ran', () => {
  const other = hashOf('beef');

  test('must be what the procedure stands for still', async () => {
    const replica = await filled();
    const old = (key: string, procedure = 'p') => call(key, { procedure, writes: { [key]: '' } });
    const [before, during] = [old('before'), old('during')];
    expect(await submit(replica, before)).toEqual(['"before"@8']);
    const answers = await submitAt(replica, 0, [during], [deploy(other, ['p'])]);
    expect(answers.map(sayCall)).toEqual([CONFLICT]);
    expect(
      await submit(
        replica,
        old('name'),
        old('alias', 'p@prod'),
        old('hash', `p@${HASH}`),
        old('unknown', 'q'),
        call('new', { hash: other, writes: { new: '' } }),
        // What was applied stays so.
        before,
      ),
    ).toEqual([CONFLICT, CONFLICT, '"hash"@9', CONFLICT, '"new"@10', 'again "before"@8']);
    expect(await submit(replica, call('fails', { end: failed('PROCEDURE_ABORTED') }))).toEqual([
      CONFLICT,
    ]);
  });

  test('that is removed ends its calls', async () => {
    const replica = await filled();
    await replica.do({ type: 'alias-remove', name: 'p', alias: 'prod' });
    expect(await submit(replica, call('1'), call('2', { procedure: `p@${HASH}` }))).toEqual([
      CONFLICT,
      CONFLICT,
    ]);
  });

  test.each([
    ['PROCEDURE_ABORTED', 'PROCEDURE_ABORTED'],
    ['PROCEDURE_LIMIT', 'PROCEDURE_LIMIT'],
    ['SOMETHING_NEWER', 'PROCEDURE_FAILED'],
  ])('and has failed with %s: that is the answer when its reads hold', async (code, answered) => {
    const replica = await filled();
    const end = failed(code, 'too poor', { have: 3 });
    const fails = call('c', { reads: { a: 1 }, ranges: [['x', null, 0, 0]], ...MARK, end });
    const [answer] = await submitAt(replica, 0, [fails]);
    expect(answer).toMatchObject({
      ok: false,
      error: { code: answered, message: 'too poor', outcome: 'not-applied', details: { have: 3 } },
    });
    expect(replica.machine.revision).toBe(7);
    // It is not remembered: what it reads may lead to something else by now.
    const better = call('c', { reads: { a: 1 }, writes: { x: '' } });
    expect(await submit(replica, better)).toEqual(['"c"@8']);
    const again = { ...fails, key: bytes('another') };
    expect(await submit(replica, again)).toEqual([CONFLICT]);
  });
});

describe('ranges of calls', () => {
  test('that ask for more than an entry reads are refused, and may be asked again', async () => {
    const replica = await startWithProcedure({ entryReadKeysMax: 12 });
    await replica.do(put('a', ''), put('b', ''), put('c', ''));
    const read = (key: string) => call(key, { ranges: [['a', null, 3, 3]], writes: { '0': key } });
    const [first, second] = [read('1'), read('2')];
    const answers = await submitAt(replica, 0, [first, second, call('3')]);
    expect(answers.map(sayCall)).toEqual(['"1"@4', 'OVERLOADED not-applied', '"3"@4']);
    expect(answers[1]).toMatchObject({ error: { retryable: true } });
    expect(await submit(replica, second)).toEqual(['"2"@5']);
  });

  test('may have as many keys as a call may read', async () => {
    const { txnReadKeysMax } = LIMITS;
    const replica = await startWithProcedure();
    const keys = Array.from({ length: txnReadKeysMax }, (_, n) => put(`k${n}`, ''));
    await replica.do(...keys);
    const whole = call('c', { ranges: [['', null, txnReadKeysMax, txnReadKeysMax]] });
    expect(await submit(replica, whole)).toEqual([`"c"@${txnReadKeysMax}`]);
  });
});

describe('replicas', () => {
  test('that apply the same calls have the same state, also those that come back', async () => {
    const one = await filled();
    const fill = (n: number) => [
      call(`a${n}`, { reads: { n: 0 }, writes: { [`x${n}`]: '1' } }),
      // Of the revisions of those before it.
      call(`b${n}`, { ranges: [['x', 'y', n + 1, [0, 8, 10][n] ?? 0]], dependsOn: [0] }),
      call(`c${n}`, { reads: { a: 1 }, writes: { a: null }, events: [['done', '{}']] }),
    ];
    const said: string[][] = [];
    for (const n of [0, 1, 2]) said.push(await submit(one, ...fill(n)));
    expect(said[1]).toEqual(['"a1"@10', '"b1"@10', CONFLICT]);
    const two = await Replica.start();
    for (const { type, payload } of one.log) await two.prepared(type, payload);
    expect(two.machine.stateHash).toBe(one.machine.stateHash);
    expect(two.store.pairs()).toEqual(one.store.pairs());
    for (let index = 0; index <= one.log.length; index += 1) {
      await two.restart(index);
      expect(two.machine.stateHash).toBe(one.machine.stateHash);
      expect(two.store.pairs()).toEqual(one.store.pairs());
    }
  });
});
