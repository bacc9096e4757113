import { describe, expect, test } from 'vitest';
import { Deadlines } from '../../src/statemachine/deadlines.js';
import { delRange, grant, putWith, sayAll, txn } from './operations.js';
import { batch, brief, bytes, del, put, Replica } from './replica.js';

const keepAlive = (lease: number) => ({ type: 'lease-keep-alive' as const, lease });
const revoke = (lease: number) => ({ type: 'lease-revoke' as const, lease });

async function keysOf(replica: Replica, lease: number): Promise<string[]> {
  return (await replica.machine.keysOfLease(lease)).map(String);
}

describe('a lease', () => {
  test('has the id that was asked for, or the next that is free', async () => {
    const replica = await Replica.start();
    const said = await replica.doAt(500, grant(2, 1000), grant(0), grant(0), grant(2), grant(0));
    expect(sayAll(said)).toEqual([
      'lease 2 1000',
      'lease 1 1000',
      'lease 3 1000',
      'LEASE_EXISTS',
      'lease 4 1000',
    ]);
    expect(replica.machine.lease(2)).toEqual({
      lease: 2,
      ttlMs: 1000,
      deadlineMs: 1500,
      keyCount: 0,
    });
    expect(replica.machine.leases().map(({ lease }) => lease)).toEqual([1, 2, 3, 4]);
    expect(replica.machine.lease(5)).toBeNull();
  });

  test('whose id was chosen is never chosen again', async () => {
    const replica = await Replica.start();
    await replica.do(grant(0), revoke(1));
    await replica.restart();
    expect(sayAll(await replica.do(grant(0)))).toEqual(['lease 2 1000']);
  });

  test('is refused beyond leasesMax', async () => {
    const replica = await Replica.start({ leasesMax: 2 });
    const said = await replica.do(grant(0), grant(0), grant(0), revoke(1), grant(0));
    expect(sayAll(said)).toEqual([
      'lease 1 1000',
      'lease 2 1000',
      'LEASES_TOO_MANY',
      'done@0',
      'lease 3 1000',
    ]);
  });

  test('counts its keys and knows them; a put without it takes its key off, a deletion too', async () => {
    const replica = await Replica.start();
    await replica.do(grant(1), grant(2));
    const hang = { lease: 1 };
    await replica.do(putWith('a', '', hang), putWith('b', '', hang), putWith('c', '', hang));
    await replica.do(putWith('d', '', hang), putWith('e', '', hang), putWith('e', 'again', hang));
    await replica.do(put('a', ''), del('b'), putWith('c', '', { lease: 2 }), delRange('d', 'e'));
    expect(await keysOf(replica, 1)).toEqual(['e']);
    expect(await keysOf(replica, 2)).toEqual(['c']);
    expect(replica.machine.leases()).toMatchObject([{ keyCount: 1 }, { keyCount: 1 }]);
    expect(replica.machine.get(bytes('a'), null)?.lease).toBe(0);
    expect(replica.machine.get(bytes('c'), null)?.lease).toBe(2);
    expect(replica.store.keys().filter((key) => key.startsWith('L'))).toHaveLength(2);
  });

  test('is kept by a put that asks so', async () => {
    const replica = await Replica.start();
    await replica.do(grant(1), putWith('a', '1', { lease: 1 }), put('b', '1'));
    await replica.do(putWith('a', '2', { lease: 'keep' }), putWith('b', '2', { lease: 'keep' }));
    expect(replica.machine.get(bytes('a'), null)).toMatchObject({ lease: 1, value: bytes('2') });
    expect(replica.machine.get(bytes('b'), null)).toMatchObject({ lease: 0, value: bytes('2') });
    expect(await keysOf(replica, 1)).toEqual(['a']);
  });

  test('that is not there refuses a put, and the transaction that it is in', async () => {
    const replica = await Replica.start();
    const said = await replica.do(
      putWith('a', '1', { lease: 9 }),
      txn([], [putWith('b', ''), putWith('a', '1', { lease: 9 })]),
      keepAlive(9),
      revoke(9),
    );
    expect(sayAll(said)).toEqual(Array.from({ length: 4 }, () => 'LEASE_NOT_FOUND'));
    expect(replica.machine.revision).toBe(0);
  });

  test('is full with leaseKeysMax keys; a key that hangs on it may be put again', async () => {
    const replica = await Replica.start({ leaseKeysMax: 2 });
    const hang = { lease: 1 };
    const said = await replica.do(
      grant(1),
      putWith('a', '', hang),
      putWith('b', '', hang),
      putWith('c', '', hang),
      putWith('a', 'again', hang),
      del('a'),
      putWith('c', '', hang),
    );
    expect(sayAll(said).slice(3)).toEqual(['LEASE_FULL', 'put@3', 'delete@4:1', 'put@5']);
  });

  test('takes all its keys with it when it is revoked, at one revision', async () => {
    const replica = await Replica.start();
    await replica.do(grant(1), putWith('b', '', { lease: 1 }), putWith('a', '', { lease: 1 }));
    await replica.do(put('other', ''));
    const said = await replica.do(
      putWith('c', '', { lease: 1 }),
      put('b', 'free'),
      revoke(1),
      put('d', ''),
    );
    expect(sayAll(said)).toEqual(['put@4', 'put@5', 'done@6', 'put@7']);
    expect(await replica.items()).toEqual(['b=free', 'd=', 'other=']);
    expect(replica.machine.lease(1)).toBeNull();
    expect(replica.store.keys().filter((key) => /^[lL]/.test(key))).toEqual([]);
    expect(sayAll(await replica.do(grant(1)))).toEqual(['lease 1 1000']);
    expect(await keysOf(replica, 1)).toEqual([]);
  });

  test('without keys is revoked without a revision', async () => {
    const replica = await Replica.start();
    expect(sayAll(await replica.do(grant(1), revoke(1), put('a', '')))[2]).toBe('put@1');
  });

  test('that was revoked and granted in one entry has none of the old keys', async () => {
    const replica = await Replica.start();
    await replica.do(grant(1), putWith('a', '', { lease: 1 }));
    const said = await replica.do(
      revoke(1),
      grant(1),
      putWith('b', '', { lease: 1 }),
      revoke(1),
      grant(1),
      putWith('c', '', { lease: 1 }),
    );
    expect(sayAll(said).filter((one) => one.startsWith('done'))).toEqual(['done@2', 'done@4']);
    expect(await replica.items()).toEqual(['c=']);
    expect(await keysOf(replica, 1)).toEqual(['c']);
  });

  test('comes back with the store, whatever entry it was left at', async () => {
    const replica = await Replica.start();
    await replica.doAt(100, grant(1, 5000), putWith('a', '', { lease: 1 }));
    await replica.doAt(200, grant(0, 1000), keepAlive(1), putWith('b', '', { lease: 1 }));
    const before = [replica.machine.leases(), replica.machine.dueLeases(9999, 9)];
    const hash = replica.machine.stateHash;
    for (const index of [0, 1, 2]) {
      await replica.restart(index);
      expect([replica.machine.leases(), replica.machine.dueLeases(9999, 9)]).toEqual(before);
      expect(await keysOf(replica, 1)).toEqual(['a', 'b']);
      expect(replica.machine.stateHash).toBe(hash);
    }
  });
});

describe('the end of a lease', () => {
  test('is due when log time has come to its deadline, earliest first, until it is kept alive', async () => {
    const replica = await Replica.start();
    await replica.doAt(100, grant(1, 1000), grant(2, 3000), grant(3, 2000));
    const { machine } = replica;
    expect(machine.dueLeases(1099, 9)).toEqual([]);
    expect(machine.dueLeases(1100, 9)).toEqual([1]);
    expect(machine.dueLeases(5000, 9).sort()).toEqual([1, 2, 3]);
    expect(machine.dueLeases(5000, 1)).toEqual([1]);
    const hung = (lease: number, keys: number) =>
      Array.from({ length: keys }, (_, i) => putWith(`${lease}/${i}`, '', { lease }));
    await replica.doAt(100, ...hung(1, 3), ...hung(2, 2), ...hung(3, 2));
    const due = (keysMax: number) => machine.dueLeases(5000, 9, keysMax).sort();
    expect([1, 3, 5, 7].map((keysMax) => due(keysMax).length)).toEqual([1, 1, 2, 3]);
    await replica.doAt(1100, keepAlive(1));
    expect(machine.dueLeases(2099, 9)).toEqual([]);
    expect(machine.dueLeases(2100, 9).sort()).toEqual([1, 3]);
  });

  test('comes when the leader asks for it and log time agrees; its keys go at one revision', async () => {
    const replica = await Replica.start();
    await replica.doAt(0, grant(1, 1000), grant(2, 1000), putWith('a', '', { lease: 1 }));
    await replica.do(putWith('b', '', { lease: 1 }), putWith('c', '', { lease: 2 }), put('d', ''));
    await replica.system(1000, { type: 'expire', leases: [1, 2, 77] });
    expect(replica.machine.revision).toBe(6);
    expect(await replica.items({ revision: 5 })).toEqual(['c=', 'd=']);
    expect(await replica.items()).toEqual(['d=']);
    expect(replica.machine.leases()).toEqual([]);
  });

  test('does not come before its deadline in log time, whatever a leader asks', async () => {
    const replica = await Replica.start();
    await replica.doAt(100, grant(1, 1000), putWith('a', '', { lease: 1 }));
    await replica.system(1099, { type: 'expire', leases: [1] });
    expect(await replica.items()).toEqual(['a=']);
    await replica.doAt(1099, keepAlive(1));
    // Asked by a leader that had not seen this.
    await replica.system(2098, { type: 'expire', leases: [1] });
    expect(await replica.items()).toEqual(['a=']);
    await replica.system(2099, { type: 'expire', leases: [1] });
    expect(await replica.items()).toEqual([]);
  });

  test('comes before the batches of its entry', async () => {
    const replica = await Replica.start();
    await replica.doAt(0, grant(1, 1000), putWith('a', '', { lease: 1 }));
    const answers = await replica.run({
      timeMs: 1000,
      system: [{ type: 'expire', leases: [1] }],
      batches: [batch({ operations: [put('b', '')] })],
    });
    expect(answers.map(brief)).toEqual(['put@3']);
    expect(await replica.items({ revision: 2 })).toEqual([]);
  });

  test('waits for another entry when too many keys would go with one', async () => {
    const replica = await Replica.start({ entryReadKeysMax: 13 });
    await replica.do(
      grant(1),
      grant(2),
      ...['a', 'b', 'c', 'd', 'e', 'f'].map((key) => put(key, '')),
    );
    await replica.do(...['a', 'b', 'c'].map((key) => putWith(key, '', { lease: 1 })));
    await replica.do(...['d', 'e', 'f'].map((key) => putWith(key, '', { lease: 2 })));
    const expire = { type: 'expire' as const, leases: [1, 2, 3] };
    await replica.system(5000, expire);
    expect(replica.machine.leases().map(({ lease }) => lease)).toEqual([2]);
    await replica.system(5000, { type: 'expire', leases: replica.machine.dueLeases(5000, 9) });
    expect(await replica.items()).toEqual([]);
  });
});

describe('the order of deadlines', () => {
  test('is that of a sorted list, however often leases are kept alive', () => {
    const current = new Map<number, number>();
    const deadlines = new Deadlines(
      (lease) => current.get(lease) ?? null,
      () => current.size,
    );
    let seed = 1;
    const next = (max: number): number => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % max;
    };
    for (let n = 0; n < 5000; n += 1) {
      const lease = next(40);
      if (next(10) === 0) current.delete(lease);
      else {
        current.set(lease, n + next(500));
        deadlines.add(lease, current.get(lease) ?? 0);
      }
      if (n % 7 > 0) continue;
      const due = [...current].filter(([, timeMs]) => timeMs <= n).map(([id]) => id);
      expect(deadlines.due(n, 100).sort()).toEqual(due.sort());
      expect(deadlines.due(n, 3)).toHaveLength(Math.min(3, due.length));
    }
  });
});
