import { describe, expect, test } from 'vitest';
import type { WriteOperation } from '../../src/base/operation.js';
import { compact, delRange, putWith, sayAll, txn } from './operations.js';
import { bytes, del, put, Replica } from './replica.js';

const settings = (change: object): WriteOperation => ({ type: 'settings', change });

const namespace = (name: string, prefix: string, quotaBytes = 0): WriteOperation => ({
  type: 'namespace-set',
  name,
  prefix: bytes(prefix),
  quotaBytes,
});

const removal = (name: string): WriteOperation => ({ type: 'namespace-remove', name });

/** `name used/quota keys` of each namespace. */
function used(replica: Replica): string[] {
  return replica.machine
    .info()
    .namespaces.map((one) => `${one.name} ${one.usedBytes}/${one.quotaBytes} ${one.keys}`);
}

describe('the settings', () => {
  test('change one by one and stay', async () => {
    const replica = await Replica.start();
    const said = await replica.do(settings({ historyMs: 5 }), settings({ spaceQuotaBytes: 7 }));
    expect(sayAll(said)).toEqual(['done@0', 'done@0']);
    await replica.restart();
    const expected = { historyMs: 5, historyRevisions: 0, spaceQuotaBytes: 7 };
    expect(replica.machine.info().settings).toEqual(expected);
  });
});

describe('the space', () => {
  test('is that of all keys and values with their history', async () => {
    const replica = await Replica.start();
    await replica.do(put('aa', '123'), put('aa', '12345'), del('aa'), putWith('b', null));
    expect(replica.machine.info()).toMatchObject({ spaceBytes: 5 + 7 + 2, spaceAlarm: false });
    await replica.restart();
    expect(replica.machine.info().spaceBytes).toBe(14);
  });

  test('that is used up refuses puts and nothing else, until it is there again', async () => {
    const replica = await Replica.start();
    await replica.do(settings({ spaceQuotaBytes: 10 }));
    const said = await replica.do(put('a', '1234'), put('b', '1234'), put('c', ''), del('a'));
    expect(sayAll(said)).toEqual(['put@1', 'put@2', 'NO_SPACE', 'delete@3:1']);
    expect(replica.machine.info()).toMatchObject({ spaceBytes: 11, spaceAlarm: true });
    expect(sayAll(await replica.do(put('b', ''), txn([], [putWith('x', '')])))).toEqual([
      'NO_SPACE',
      'NO_SPACE',
    ]);
    expect(
      sayAll(
        await replica.do(
          { type: 'lease-grant', lease: 0, ttlMs: 1000 },
          txn([], []),
          compact(3),
          namespace('n', 'n'),
        ),
      ),
    ).toEqual(['lease 1 1000', 'then@3()', 'done@3', 'done@3']);
    await replica.system(0, { type: 'sweep', records: 100 });
    expect(replica.machine.info()).toMatchObject({ spaceBytes: 6, spaceAlarm: false });
    expect(sayAll(await replica.do(put('c', '')))).toEqual(['put@4']);
  });

  test('is there again when the quota is raised or taken away', async () => {
    const replica = await Replica.start();
    const said = await replica.do(
      settings({ spaceQuotaBytes: 1 }),
      put('a', ''),
      put('b', ''),
      settings({ spaceQuotaBytes: 2 }),
      put('b', ''),
      put('c', ''),
      settings({ spaceQuotaBytes: 0 }),
      put('c', ''),
    );
    const puts = sayAll(said).filter((one) => !one.startsWith('done'));
    expect(puts).toEqual(['put@1', 'NO_SPACE', 'put@2', 'NO_SPACE', 'put@3']);
  });

  test('that a refused transaction had taken is given back', async () => {
    const replica = await Replica.start();
    await replica.do(settings({ spaceQuotaBytes: 10 }));
    const write = [putWith('a', '123456'), putWith('b', '123456'), putWith('c', '')];
    expect(sayAll(await replica.do(txn([], write)))).toEqual(['NO_SPACE']);
    expect(replica.machine.info()).toMatchObject({ spaceBytes: 0, spaceAlarm: false });
    expect(sayAll(await replica.do(put('a', '')))).toEqual(['put@1']);
  });
});

describe('a namespace', () => {
  test('counts its keys and their present values, whatever is done to them', async () => {
    const replica = await Replica.start();
    await replica.do(namespace('app', 'app/'), namespace('b', 'b'));
    await replica.do({ type: 'lease-grant', lease: 1, ttlMs: 1000 });
    await replica.do(put('app/1', '12345'), putWith('app/2', '1', { lease: 1 }), put('apq', '1'));
    await replica.do(put('app/1', '1'), put('app', ''), put('b', ''), put('c', ''));
    expect(used(replica)).toEqual(['app 12/0 2', 'b 1/0 1']);
    await replica.restart(4);
    await replica.system(5000, { type: 'expire', leases: [1] });
    expect(used(replica)).toEqual(['app 6/0 1', 'b 1/0 1']);
    await replica.do(delRange('a', null));
    expect(used(replica)).toEqual(['app 0/0 0', 'b 0/0 0']);
  });

  test('that is full refuses what would make it larger, and nothing else', async () => {
    const replica = await Replica.start();
    await replica.do(namespace('app', 'app/', 20));
    const said = await replica.do(
      put('app/1', '12345'),
      put('app/2', '12345'),
      put('app/3', ''),
      put('other', 'x'.repeat(99)),
      put('app/2', '123456'),
      put('app/2', '1234'),
      put('app/2', '12345'),
      del('app/1'),
      put('app/3', ''),
    );
    expect(sayAll(said)).toEqual([
      'put@1',
      'put@2',
      'QUOTA_EXCEEDED',
      'put@3',
      'QUOTA_EXCEEDED',
      'put@4',
      'put@5',
      'delete@6:1',
      'put@7',
    ]);
    expect(used(replica)).toEqual(['app 15/20 2']);
    const atOnce = txn([], [putWith('app/4', ''), putWith('app/5', '12345')]);
    expect(sayAll(await replica.do(atOnce))).toEqual(['QUOTA_EXCEEDED']);
    expect(used(replica)).toEqual(['app 15/20 2']);
  });

  test('may get another quota, below what it holds too', async () => {
    const replica = await Replica.start({ namespaceKeysFoundMax: 1 });
    await replica.do(namespace('app', 'app/'), put('app/1', '12345'), put('app/2', ''));
    expect(sayAll(await replica.do(namespace('app', 'app/', 3)))).toEqual(['done@2']);
    expect(sayAll(await replica.do(put('app/1', '123456'), put('app/1', '1')))).toEqual([
      'QUOTA_EXCEEDED',
      'put@3',
    ]);
  });

  test('finds the keys that were there before it, also those of its entry', async () => {
    const replica = await Replica.start();
    await replica.do(put('app/1', '12'), put('app/2', '12'), put('app/3', '12'), put('b', ''));
    await replica.do(del('app/1'));
    await replica.do(
      put('app/2', '1234'),
      del('app/3'),
      put('app/4', ''),
      namespace('app', 'app/'),
    );
    expect(used(replica)).toEqual(['app 14/0 2']);
  });

  test('may not find more keys than namespaceKeysFoundMax', async () => {
    const replica = await Replica.start({ namespaceKeysFoundMax: 1 });
    await replica.do(put('a1', ''), put('a2', ''), put('b1', ''));
    expect(sayAll(await replica.do(namespace('a', 'a'), namespace('b', 'b')))).toEqual([
      'RANGE_TOO_LARGE',
      'done@3',
    ]);
  });

  test.each([
    ['x', 'app/'],
    ['x', 'app/sub/'],
    ['x', 'ap'],
    ['app', 'other/'],
  ])('named %s with prefix %s is refused beside that of app/', async (name, prefix) => {
    const replica = await Replica.start();
    const said = await replica.do(namespace('app', 'app/'), namespace(name, prefix));
    expect(sayAll(said)[1]).toBe('NAMESPACE_CONFLICT');
    expect(used(replica)).toHaveLength(1);
  });

  test('that is removed leaves its keys, and is not found any more', async () => {
    const replica = await Replica.start();
    await replica.do(namespace('app', 'app/', 8), put('app/1', ''));
    const said = await replica.do(removal('app'), removal('app'), put('app/2', 'x'.repeat(9)));
    expect(sayAll(said)).toEqual(['done@1', 'NAMESPACE_NOT_FOUND', 'put@2']);
    await replica.restart();
    expect(used(replica)).toEqual([]);
    expect(await replica.items()).toHaveLength(2);
    await replica.do(namespace('new', 'app/'));
    expect(used(replica)).toEqual(['new 19/0 2']);
  });

  test('that was removed in the same entry is not made again in it', async () => {
    const replica = await Replica.start();
    await replica.do(namespace('app', 'app/'));
    const said = await replica.do(removal('app'), namespace('app', 'app/'));
    expect(sayAll(said)).toEqual(['done@0', 'OVERLOADED']);
    expect(sayAll(await replica.do(namespace('app', 'app/')))).toEqual(['done@0']);
  });

  test('is one of namespacesMax', async () => {
    const replica = await Replica.start({ namespacesMax: 1 });
    const said = await replica.do(namespace('a', 'a'), namespace('b', 'b'), namespace('a', 'a', 5));
    expect(sayAll(said)).toEqual(['done@0', 'NAMESPACES_TOO_MANY', 'done@0']);
  });
});
