import { describe, expect, test } from 'vitest';
import { ABSENT_KEYS_COMPARED } from '../../src/base/command-versions.js';
import type { TxnStep } from '../../src/base/operation.js';
import {
  delRange,
  grant,
  putWith,
  readKey,
  readRange,
  say,
  sayAll,
  txn,
  when,
} from './operations.js';
import { batch, brief, bytes, del, put, Replica, session } from './replica.js';

const step = (key: string, value: string): TxnStep => putWith(key, value);

/** One answer to one operation. */
async function ask(replica: Replica, operation: Parameters<Replica['do']>[0]): Promise<string> {
  return say((await replica.do(operation))[0]);
}

describe('a put', () => {
  test('of null keeps the value and is a write of its own', async () => {
    const replica = await Replica.start();
    const said = await replica.do(put('a', 'one'), putWith('a', null), put('b', 'x'));
    expect(sayAll(said)).toEqual(['put@1', 'put@2', 'put@3']);
    expect(replica.machine.get(bytes('a'), null)).toMatchObject({
      value: bytes('one'),
      version: 2,
      modRevision: 2,
    });
    await replica.do(putWith('a', null));
    expect(replica.machine.get(bytes('a'), null)).toMatchObject({
      value: bytes('one'),
      version: 3,
    });
  });

  test('that keeps a value or a lease needs a key that is there', async () => {
    const replica = await Replica.start();
    const said = await replica.do(
      putWith('a', null),
      putWith('a', 'x', { lease: 'keep' }),
      put('b', ''),
      del('b'),
      putWith('b', null),
    );
    const none = 'KEY_NOT_FOUND';
    expect(sayAll(said)).toEqual([none, none, 'put@1', 'delete@2:1', none]);
    expect(replica.machine.revision).toBe(2);
  });

  test('says what there was when asked, also what the same entry wrote', async () => {
    const replica = await Replica.start();
    const previous = { returnPrevious: true };
    expect(
      sayAll(
        await replica.do(
          putWith('a', '1', previous),
          putWith('a', '2', previous),
          { type: 'delete', key: bytes('a'), ...previous },
          { type: 'delete', key: bytes('a'), ...previous },
          putWith('a', '3', previous),
        ),
      ),
    ).toEqual([
      'put@1 was nothing',
      'put@2 was a=1@1',
      'delete@3:1 was [a=2@2]',
      'delete@3:0 was []',
      'put@4 was nothing',
    ]);
    expect(await ask(replica, putWith('a', '4', previous))).toBe('put@5 was a=3@4');
  });
});

describe('the deletion of a range', () => {
  test('takes all its keys at one revision, also those the entry has just written', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'), put('b', '1'), put('c', '1'), put('d', '1'));
    const said = await replica.do(put('bb', '2'), del('c'), delRange('b', 'd', true), put('e', ''));
    expect(sayAll(said)).toEqual(['put@5', 'delete@6:1', 'delete@7:2 was [b=1@2 bb=2@5]', 'put@8']);
    expect(await replica.items()).toEqual(['a=1', 'd=1', 'e=']);
    expect(await replica.items({ revision: 6 })).toEqual(['a=1', 'b=1', 'bb=2', 'd=1']);
  });

  test('without keys takes no revision', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'));
    expect(sayAll(await replica.do(delRange('b', null), put('b', '')))).toEqual([
      'delete@1:0',
      'put@2',
    ]);
  });

  test('to the end takes all from its begin on', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', ''), put('b', ''), put('z', ''));
    expect(await ask(replica, delRange('b', null))).toBe('delete@4:2');
    expect(await replica.items()).toEqual(['a=']);
  });

  test('of more keys than txnReadKeysMax is refused and deletes none', async () => {
    const replica = await Replica.start({ txnReadKeysMax: 3 });
    await replica.do(put('a', ''), put('b', ''), put('c', ''), put('d', ''));
    expect(await ask(replica, delRange('a', null))).toBe('RANGE_TOO_LARGE');
    expect(await replica.items()).toHaveLength(4);
    expect(await ask(replica, delRange('b', null))).toBe('delete@5:3');
  });
});

describe('a transaction', () => {
  test('takes one branch, and one revision for all that it writes', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'));
    const operation = txn(
      [when('a', 'value', '=', '1')],
      [step('a', '2'), step('b', '2'), { type: 'delete', key: bytes('none') }],
      [step('c', 'no')],
    );
    expect(await ask(replica, operation)).toBe('then@2(put@2, put@2, delete@2:0)');
    expect(await ask(replica, operation)).toBe('else@3(put@3)');
    expect(await replica.items()).toEqual(['a=2', 'b=2', 'c=no']);
    expect(await replica.items({ revision: 1 })).toEqual(['a=1']);
    expect(replica.machine.get(bytes('b'), null)).toMatchObject({ createRevision: 2, version: 1 });
  });

  test('without writes takes no revision', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'));
    const said = await replica.do(txn([], [readKey('a'), readKey('b')]), txn([], []), put('b', ''));
    expect(sayAll(said)).toEqual(['then@1(read[a=1@1]:1, read[]:0)', 'then@1()', 'put@2']);
  });

  test('reads what it has written before, and what the entry has', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'), put('b', '1'), put('c', '1'));
    const said = await replica.do(
      put('c', '2'),
      txn(
        [],
        [
          readRange('a', null),
          step('b', '5'),
          { type: 'delete', key: bytes('a') },
          step('d', '5'),
          readRange('a', null),
          readKey('b'),
        ],
      ),
    );
    expect(sayAll(said)[1]).toBe(
      'then@5(read[a=1@1 b=1@2 c=2@4]:3, put@5, delete@5:1, put@5, read[b=5@5 c=2@4 d=5@5]:3, read[b=5@5]:1)',
    );
  });

  test('reads as ranges do: order, limit, count, keys only, bounds of revisions', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'), put('b', '2'), put('c', '3'), put('b', '4'));
    const said = await ask(
      replica,
      txn(
        [],
        [
          readRange('a', null, { limit: 2 }),
          readRange('a', 'c', { reverse: true }),
          readRange('a', null, { countOnly: true }),
          readRange('a', null, { keysOnly: true, limit: 1 }),
          readRange('a', null, { modRevisionMin: 2, modRevisionMax: 3 }),
          readRange('a', null, { createRevisionMax: 2 }),
        ],
      ),
    );
    expect(said).toBe(
      'then@4(read[a=1@1 b=4@4]:3, read[b=4@4 a=1@1]:2, read[]:3, read[a=@1]:3, read[c=3@3]:1, read[a=1@1 b=4@4]:2)',
    );
  });

  test('that writes a key twice is refused and changes nothing', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'), putWith('z', '1'));
    const twice: TxnStep[][] = [
      [step('a', '2'), step('a', '3')],
      [step('new', '2'), { type: 'delete', key: bytes('new') }],
      [{ type: 'delete', key: bytes('a') }, step('a', '3')],
      [step('b', '2'), delRange('b', 'c')],
      [step('b', '2'), txn([], [step('b', '3')])],
    ];
    const before = replica.store.keys().filter((key) => /^[kr]/.test(key));
    for (const steps of twice) {
      expect(await ask(replica, txn([], steps))).toBe('KEY_DUPLICATE');
      expect(replica.machine.revision).toBe(2);
    }
    expect(replica.store.keys().filter((key) => /^[kr]/.test(key))).toEqual(before);
    expect(await replica.items()).toEqual(['a=1', 'z=1']);
  });

  test('may write what was written by the operation before it in the same entry', async () => {
    const replica = await Replica.start();
    const said = await replica.do(put('a', '1'), txn([], [step('a', '2')]), put('a', '3'));
    expect(sayAll(said)).toEqual(['put@1', 'then@2(put@2)', 'put@3']);
  });

  test('that is refused leaves leases, space and namespaces as they were, and the rest of its batch is applied', async () => {
    const replica = await Replica.start();
    await replica.do(
      grant(1),
      grant(2),
      { type: 'namespace-set', name: 'n', prefix: bytes('n/'), quotaBytes: 0 },
      putWith('n/a', 'old', { lease: 1 }),
      put('n/b', 'old'),
    );
    const { info, machine } = { info: replica.machine.info(), machine: replica.machine };
    const said = await replica.do(
      putWith('n/first', '', { lease: 2 }),
      txn(
        [],
        [
          putWith('n/a', 'new value', { lease: 2 }),
          { type: 'delete', key: bytes('n/b') },
          putWith('n/first', 'again', { lease: 1 }),
          putWith('missing', null),
        ],
      ),
      { type: 'delete', key: bytes('n/first') },
    );
    expect(sayAll(said)).toEqual(['put@3', 'KEY_NOT_FOUND', 'delete@4:1']);
    expect(machine.info().namespaces).toEqual(info.namespaces);
    expect(machine.leases()).toMatchObject([{ keyCount: 1 }, { keyCount: 0 }]);
    expect(machine.info().spaceBytes).toBe(info.spaceBytes + 2 * 'n/first'.length);
    expect(await replica.items()).toEqual(['n/a=old', 'n/b=old']);
    expect((await machine.keysOfLease(1)).map(String)).toEqual(['n/a']);
    expect(await machine.keysOfLease(2)).toEqual([]);
  });

  test('in another one compares before anything is written, reads what was, shares the revision', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'));
    const inner = txn(
      [when('a', 'value', '=', '1'), when('a', 'modRevision', '=', 1)],
      [readKey('a'), step('b', 'inner'), txn([when('b', 'version', '=', 0)], [readKey('b')])],
      [step('c', 'no')],
    );
    const said = await ask(replica, txn([when('a', 'value', '=', '1')], [step('a', '2'), inner]));
    expect(said).toBe('then@2(put@2, then@2(read[a=2@2]:1, put@2, then@2(read[b=inner@2]:1)))');
    expect(await replica.items()).toEqual(['a=2', 'b=inner']);
  });

  test('is one write of each key in the history, in its order', async () => {
    const replica = await Replica.start();
    await replica.do(put('b', '1'), txn([], [step('c', '2'), delRange('a', 'c'), step('a', '2')]));
    const { events } = await replica.machine.history({
      fromRevision: 1,
      eventsMax: 10,
      bytesMax: 1000,
    });
    expect(events.map((e) => `${e.type} ${String(e.key)} ${e.revision}.${e.sub}`)).toEqual([
      'put b 1.0',
      'put c 2.0',
      'delete b 2.1',
      'put a 2.2',
    ]);
  });

  test('deletes as many keys as a revision has numbers for: earlier versions did; one more write is refused and changes nothing', async () => {
    const replica = await Replica.start();
    const parts = Array.from({ length: 8 }, (_, part) => part);
    for (const part of parts) {
      await replica.do(...Array.from({ length: 8192 }, (_, i) => put(`${part}/${i}`, '')));
    }
    const all = parts.map((part) => delRange(`${part}/`, `${part}0`));
    expect(await ask(replica, txn([], [...all, step('z', '')]))).toBe('TXN_TOO_LARGE');
    expect(replica.machine.revision).toBe(8 * 8192);
    expect(replica.machine.get(bytes('0/0'), null)).toMatchObject({ version: 1 });
    expect(await ask(replica, txn([], all))).toMatch(/^then@65537/);
    expect(replica.machine.get(bytes('7/8191'), null)).toBe(null);
    expect(replica.machine.revision).toBe(8 * 8192 + 1);
  }, 60_000);

  test('that reads more than is allowed is refused as a whole', async () => {
    const replica = await Replica.start({ txnReadKeysMax: 2, txnReadBytesMax: 10 });
    await replica.do(put('a', '1234'), put('b', '1234'), put('c', '1'));
    const write = step('x', '');
    const answers = [
      await ask(replica, txn([], [write, readRange('a', null)])),
      await ask(replica, txn([], [write, readKey('a'), readKey('b'), readKey('c')])),
      await ask(replica, txn([], [write, readKey('a'), readKey('a'), readKey('c')])),
      await ask(replica, txn([], [write, readKey('a'), readKey('a')])),
    ];
    expect(answers).toEqual([
      'RANGE_TOO_LARGE',
      'RANGE_TOO_LARGE',
      'RANGE_TOO_LARGE',
      'then@4(put@4, read[a=1234@1]:1, read[a=1234@1]:1)',
    ]);
  });
});

describe('a comparison', () => {
  test.each([
    ['value', '=', 'v2', true],
    ['value', '=', 'v', false],
    ['value', '!=', 'v', true],
    ['value', '<', 'v3', true],
    ['value', '<', 'v2', false],
    ['value', '>', 'v', true],
    ['version', '=', 2, true],
    ['version', '>', 2, false],
    ['createRevision', '=', 1, true],
    ['createRevision', '<', 1, false],
    ['modRevision', '=', 2, true],
    ['modRevision', '!=', 2, false],
    ['lease', '=', 7, true],
    ['lease', '<', 7, false],
    ['count', '=', 1, true],
    ['count', '=', 0, false],
  ] as const)('of %s %s %s with a key that is there', async (target, operator, value, holds) => {
    const replica = await Replica.start();
    await replica.do(grant(7), put('a', 'v1'), putWith('a', 'v2', { lease: 7 }));
    const said = await ask(replica, txn([when('a', target, operator, value)], []));
    expect(said).toBe(holds ? 'then@2()' : 'else@2()');
  });

  test.each([
    ['value', '=', '', false],
    ['value', '<', 'z', false],
    ['value', '>', '', false],
    ['value', '!=', 'v', true],
    ['version', '=', 0, true],
    ['createRevision', '=', 0, true],
    ['modRevision', '=', 0, true],
    ['lease', '=', 0, true],
    ['count', '=', 0, true],
  ] as const)(
    'of %s %s %s with a key that is not, or no longer',
    async (target, operator, value, holds) => {
      const replica = await Replica.start();
      await replica.do(put('gone', 'v'), del('gone'));
      for (const key of ['never', 'gone']) {
        const said = await ask(replica, txn([when(key, target, operator, value)], []));
        expect(said).toBe(holds ? 'then@2()' : 'else@2()');
      }
    },
  );

  test('with a range must hold for each key of it; without keys all hold but that of the count', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'), put('b', '1'), put('b', '2'), put('c', '1'));
    const compares = [
      when('a', 'version', '>', 0, null),
      when('a', 'version', '=', 1, 'c'),
      when('a', 'value', '<', '2', 'b'),
      when('a', 'count', '=', 3, null),
      when('x', 'value', '=', 'v', null),
      when('x', 'version', '>', 5, null),
      when('x', 'count', '>', 0, null),
    ];
    const said = await replica.do(...compares.map((compare) => txn([compare], [])));
    expect(sayAll(said).map((one) => one.slice(0, 4))).toEqual([
      'then',
      'else',
      'then',
      'then',
      'then',
      'then',
      'else',
    ]);
  });

  test.each([
    [when('gone', 'value', '!=', 'v'), false],
    [when('gone', 'value', '=', ''), false],
    [when('gone', 'version', '=', 0), true],
    [when('x', 'value', '!=', 'v', null), false],
    [when('x', 'version', '>', 5, null), false],
    [when('x', 'version', '<', 5, null), true],
    [when('x', 'createRevision', '=', 0, null), true],
    [when('x', 'lease', '!=', 0, null), false],
    [when('x', 'count', '=', 0, null), true],
    [when('a', 'value', '!=', 'w', null), true],
    [when('a', 'value', '!=', 'v', null), false],
    [when('a', 'createRevision', '=', 0, null), false],
  ])(
    'of a key that is not there, or of a range without keys, is as in etcd: %j',
    async (compare, holds) => {
      const replica = await Replica.start();
      await replica.do(put('a', 'v'), put('gone', 'v'), del('gone'));
      const asked = txn([compare], [putWith('then', '')], [putWith('then', '')]);
      const [result] = await replica.doIn(ABSENT_KEYS_COMPARED, asked);
      expect(result).toMatchObject({ type: 'txn', succeeded: holds });
      expect(await ask(replica, txn([when('then', 'version', '=', 1)], []))).toBe('then@4()');
    },
  );

  test('sees what was written before it in the same entry', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', ''), put('b', ''));
    const said = await replica.do(
      del('a'),
      put('c', ''),
      put('d', ''),
      txn([when('a', 'count', '=', 3, null), when('d', 'version', '=', 1)], []),
    );
    expect(sayAll(said)[3]).toBe('then@5()');
  });

  test.each([
    ['all hold', [when('a', 'count', '=', 1), when('b', 'count', '=', 0)], 'then@1()'],
    ['one does not', [when('a', 'count', '=', 1), when('b', 'count', '=', 1)], 'else@1()'],
  ])('is one of several: %s', async (_what, compares, said) => {
    const replica = await Replica.start();
    await replica.do(put('a', ''));
    expect(await ask(replica, txn(compares, []))).toBe(said);
  });
});

describe('an entry', () => {
  test('whose ranges ask for too much refuses those that come last, with nothing applied of them', async () => {
    const replica = await Replica.start({ entryReadKeysMax: 20 });
    await replica.do(...['a', 'b', 'c', 'd', 'e', 'f'].map((key) => put(key, '')));
    const read = txn([], [readRange('a', null, { countOnly: true })]);
    const said = await replica.do(read, put('x', ''), read, delRange('b', 'c'));
    expect(sayAll(said)).toEqual(['then@6(read[]:6)', 'put@7', 'OVERLOADED', 'OVERLOADED']);
    expect(await ask(replica, delRange('b', 'c'))).toBe('delete@8:1');
  });

  test('with ranges must be prepared', async () => {
    const replica = await Replica.start();
    const { packCommand } = await import('../../src/statemachine/command.js');
    const batches = [batch({ operations: [delRange('a', null)] })];
    const payload = packCommand({ timeMs: 0, batches }, 3);
    expect(() => replica.machine.apply({ index: 1, type: 'command', payload })).toThrow(/prepared/);
  });

  test('without ranges has nothing to prepare', async () => {
    const replica = await Replica.start();
    const { packCommand } = await import('../../src/statemachine/command.js');
    const prepare = (...operations: Parameters<Replica['do']>) => {
      const payload = packCommand({ timeMs: 0, batches: [batch({ operations })] }, 3);
      return replica.machine.prepare({ index: 1, type: 'command', payload });
    };
    const plain = txn([when('a', 'version', '=', 0)], [readKey('a'), step('a', '')]);
    expect(prepare(put('a', ''), del('b'), grant(0), plain)).toBeNull();
    expect(replica.machine.prepare({ index: 1, type: 'noop', payload: bytes('') })).toBeNull();
    await expect(prepare(delRange('a', null))).resolves.toBeUndefined();
  });

  test('whose answers would hold too much refuses what does not fit, but not a single one', async () => {
    const replica = await Replica.start({ batchAnswerBytesMax: 8 });
    await replica.do(put('a', '0123456789'), put('b', '1'));
    const ask = (key: string) => putWith(key, 'n', { returnPrevious: true });
    expect(sayAll(await replica.do(ask('a'), ask('b'), put('c', '')))).toEqual([
      'put@3 was a=0123456789@1',
      'OVERLOADED',
      'put@4',
    ]);
  });

  test('of an older version has plain puts and deletes only: others are answered as unreadable', async () => {
    const replica = await Replica.start();
    const send = (name: string, ...operations: Parameters<Replica['do']>) =>
      batch({ sessionId: session(name), operations });
    const answers = replica.command([
      send('a', put('a', '1'), grant(1)),
      send('b', putWith('a', '1', { lease: 1 })),
      send('c', txn([], [])),
      send('d', { type: 'delete', key: bytes('a'), returnPrevious: true }),
      send('e', put('e', ''), del('e')),
    ]);
    const refused = 'FRAME_INVALID not-applied';
    expect(answers.map(brief)).toEqual([refused, refused, refused, refused, 'put@1 delete@2:1']);
    expect(replica.machine.leases()).toEqual([]);
  });
});
