import { describe, expect, test } from 'vitest';
import { pendingRevision } from '../../src/base/call.js';
import { packCall } from '../../src/base/call-codec.js';
import type { WriteOperation } from '../../src/base/operation.js';
import {
  add,
  type CallFields,
  CONFLICT,
  call,
  failed,
  filled,
  sayCall,
  submit,
  submitAt,
} from './call-records.js';
import { bytes, del, put } from './replica.js';

describe('the calls of one entry', () => {
  const seen = pendingRevision;

  test('stand on what those before them have written', async () => {
    const replica = await filled();
    const said = await submit(
      replica,
      call('0', { reads: { a: 1 }, writes: { a: '1', x: '1' } }),
      call('1', { reads: { a: seen(0), b: 2 }, dependsOn: [0], writes: { a: '2', b: null } }),
      call('2', { reads: { a: seen(1), b: 0, x: seen(0) }, dependsOn: [0, 1], writes: { y: '' } }),
      call('3', { ranges: [['a', 'd', 2, 3]], dependsOn: [1], writes: { z: '' } }),
      call('4', { ranges: [['x', null, 3, 0]], dependsOn: [0, 2, 3] }),
    );
    expect(said).toEqual(['"0"@8', '"1"@9', '"2"@10', '"3"@11', '"4"@11']);
    const items = ['a=2', 'c=0', 'd=0', 'e=0', 'x=1', 'y=', 'z='];
    expect(await replica.items()).toEqual(items);
  });

  test('fall with those that they have seen, whatever it was, and those that saw them', async () => {
    const replica = await filled();
    const said = await submit(
      replica,
      call('0', { reads: { a: 7 }, writes: { a: '1', x: '1', b: null, c: '1' } }),
      call('key', { reads: { a: seen(0) }, dependsOn: [0], writes: { y1: '' } }),
      call('new key', { reads: { x: seen(0) }, dependsOn: [0], writes: { y2: '' } }),
      // As if b had been deleted: nothing of a revision says so.
      call('deletion', { reads: { never: 0 }, dependsOn: [0], writes: { y3: '' } }),
      call('range', { ranges: [['c', 'd', 1, 0]], dependsOn: [0], writes: { y4: '' } }),
      call('range with a deletion', {
        ranges: [['f', 'g', 0, 0]],
        dependsOn: [0],
        writes: { y5: '' },
      }),
      call('of those', { reads: { y1: seen(1) }, dependsOn: [1], writes: { y6: '' } }),
      call('no matter', { reads: { b: 2, c: 3 }, writes: { z: '' } }),
      call('of one of two', { dependsOn: [7, 0], writes: { y7: '' } }),
      call('of the other', { dependsOn: [0, 7], writes: { y8: '' } }),
      call('of one that goes', { dependsOn: [7, 7] }),
    );
    expect(said).toEqual([
      ...Array(7).fill(CONFLICT),
      ...['"no matter"@8', CONFLICT, CONFLICT, '"of one that goes"@8'],
    ]);
    expect(await replica.items()).toEqual(['a=0', 'b=0', 'c=0', 'd=0', 'e=0', 'z=']);
  });

  test('that have seen a write are rejected when it is not the last of its key any more', async () => {
    const replica = await filled();
    const said = await submit(
      replica,
      call('0', { writes: { a: '1', b: '1' } }),
      call('1', { writes: { a: '2', bb: '' } }),
      call('2', { reads: { a: seen(0) }, dependsOn: [0] }),
      call('3', { ranges: [['b', 'c', 1, 0]], dependsOn: [0] }),
      call('4', { reads: { a: 1 } }),
      call('5', { reads: { a: seen(1), b: seen(0) }, dependsOn: [0, 1] }),
    );
    expect(said).toEqual(['"0"@8', '"1"@9', CONFLICT, CONFLICT, CONFLICT, '"5"@9']);
  });

  test('are rejected when an older key of their range was changed, also behind another one of the entry that writes elsewhere', async () => {
    const replica = await filled();
    await submit(replica, call('before', { writes: { a: '1' } }));
    const said = await submit(
      replica,
      call('0', { writes: { x: '' } }),
      call('1', { ranges: [['a', 'c', 2, 2]], writes: { y: '' } }),
      call('2', { ranges: [['a', 'c', 2, 8]], writes: { z: '' } }),
    );
    expect(said).toEqual(['"0"@9', CONFLICT, '"2"@10']);
  });

  test('cannot have seen themselves, one behind them or one that is not there', async () => {
    const replica = await filled();
    const said = await submit(
      replica,
      call('0', { dependsOn: [0], writes: { x: '' } }),
      call('1', { dependsOn: [2], writes: { x: '' } }),
      call('2', { dependsOn: [99], writes: { x: '' } }),
      call('3', { reads: { x: seen(3) }, writes: { x: '' } }),
      call('4', { reads: { x: seen(99) }, writes: { x: '' } }),
    );
    expect(said).toEqual(Array(5).fill(CONFLICT));
  });

  test('do not stand on one that was applied before, or whose code has failed', async () => {
    const replica = await filled();
    const first = call('0', { writes: { x: '1' } });
    await submit(replica, first);
    const said = await submit(
      replica,
      first,
      call('1', { reads: { x: seen(0) }, dependsOn: [0] }),
      call('2', { end: failed('PROCEDURE_FAILED') }),
      call('3', { dependsOn: [2] }),
    );
    expect(said).toEqual(['again "0"@8', CONFLICT, 'PROCEDURE_FAILED not-applied', CONFLICT]);
  });

  test('know nothing of the places in another entry', async () => {
    const replica = await filled();
    await submit(replica, call('0', { writes: { x: '1' } }));
    const said = await submit(
      replica,
      call('1', { reads: { x: seen(0) } }),
      call('2', { dependsOn: [1] }),
    );
    expect(said).toEqual([CONFLICT, CONFLICT]);
    expect(await submit(replica, call('3'), call('4', { dependsOn: [0] }))).toEqual([
      '"3"@8',
      '"4"@8',
    ]);
  });

  test('that cannot be read are answered, and the others go on', async () => {
    const replica = await filled();
    const said = await submit(
      replica,
      Buffer.of(0xc1),
      call('1', { writes: { x: '1' } }),
      packCall(call('2')).subarray(0, 20),
      call('3', { reads: { x: seen(1) }, dependsOn: [1], writes: { x: '2' } }),
      call('4', { dependsOn: [2] }),
      call('5', { ranges: [['x', null, 1, 0]], dependsOn: [3] }),
    );
    const unreadable = 'FRAME_INVALID not-applied';
    expect(said).toEqual([unreadable, '"1"@8', unreadable, '"3"@9', CONFLICT, '"5"@9']);
  });

  test('come behind its batches, and are answered behind them', async () => {
    const replica = await filled();
    const record = call('c', { reads: { a: 8 }, writes: { a: '2' } });
    const answers = await submitAt(replica, 0, [record], [put('a', '1')]);
    expect(answers.map(sayCall)).toEqual(['"c"@9']);
    expect(replica.machine.get(bytes('a'), null)?.value).toEqual(bytes('2'));
  });
});

describe('a range with what calls of its entry wrote', () => {
  const writer = call('writer', { writes: { b: '1' } });
  /** It saw `a` and `c` as they were, and `b` as the writer leaves it. */
  const reader = (place: number) =>
    call('reader', { ranges: [['a', 'd', 3, 3]], dependsOn: [place], writes: { sum: '0' } });

  test('holds when all else in it is as it was', async () => {
    const replica = await filled();
    const elsewhere = call('elsewhere', { writes: { e: '1' } });
    const answers = await submitAt(
      replica,
      0,
      [elsewhere, writer, call('too', { writes: { d: '1' } }), reader(1)],
      // What the writer has written over is not to be seen.
      [put('dd', ''), put('aa', ''), del('aa'), put('b', 'unseen')],
    );
    expect(answers.map(sayCall).at(-1)).toBe('"reader"@15');
  });

  test.each<[string, readonly WriteOperation[], CallFields | null]>([
    ['overwritten by a batch', [put('a', 'unseen')], null],
    ['deleted by a batch', [del('c')], null],
    ['deleted for another by a batch', [del('c'), put('aa', 'unseen')], null],
    ['overwritten by a call', [], { writes: { c: 'unseen' } }],
    ['deleted for another by a call', [], { writes: { c: null, aa: 'unseen' } }],
    ['put by a call', [], { writes: { bb: 'unseen' } }],
    ['put as an update', [], { updates: [add('bb', 1)] }],
  ])('does not when a key was %s unseen before the writer', async (_what, writes, unseen) => {
    const calls = unseen === null ? [] : [call('unseen', unseen)];
    for (const sameEntry of [false, true]) {
      const replica = await filled();
      if (!sameEntry && writes.length > 0) await replica.do(...writes);
      const records = [...calls, writer, reader(calls.length)];
      const answers = await submitAt(replica, 0, records, sameEntry ? writes : []);
      const said = answers.map(sayCall);
      expect(said.slice(0, -1)).toEqual(records.slice(0, -1).map(() => expect.stringMatching('@')));
      expect(said.at(-1)).toBe(CONFLICT);
    }
  });

  test('does not take one that wrote nothing for the writer of what was there', async () => {
    const replica = await filled();
    await replica.do(put('z', ''));
    const said = await submit(
      replica,
      call('nothing', { writes: { never: null } }),
      call('range', { ranges: [['z', null, 1, 8]] }),
    );
    expect(said).toEqual(['"nothing"@8', '"range"@8']);
  });

  test('does not when another call has written behind the writer', async () => {
    for (const fields of [
      { writes: { c: 'unseen' } },
      { writes: { b: 'unseen' } },
      { writes: { b: null } },
      { writes: { b: null, bb: '' } },
      { updates: [add('b', 1)] },
    ]) {
      const replica = await filled();
      const said = await submit(replica, writer, call('unseen', fields), reader(0));
      expect(said).toEqual(['"writer"@8', '"unseen"@9', CONFLICT]);
    }
  });

  test('does not when the writer is not the one that was seen', async () => {
    const replica = await filled();
    const said = await submit(replica, call('other'), writer, reader(0));
    expect(said).toEqual(['"other"@7', '"writer"@8', CONFLICT]);
  });

  test('knows nothing of the writers of the entry before', async () => {
    const replica = await filled();
    await submit(replica, writer);
    expect(await submit(replica, call('other', { writes: { z: '' } }), reader(0))).toEqual([
      '"other"@9',
      CONFLICT,
    ]);
  });
});
