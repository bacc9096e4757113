import { describe, expect, test } from 'vitest';
import { StateMachine } from '../../src/statemachine/state-machine.js';
import { batch, brief, bytes, del, put, Replica, session } from './replica.js';
import { SimpleStateStore } from './simple-state-store.js';

describe('applying entries', () => {
  test('moves the applied index with every type of entry', async () => {
    const replica = await Replica.start();

    replica.entry('noop');
    replica.entry('configuration', bytes('opaque'));
    replica.command([]);

    expect(replica.machine.appliedIndex).toBe(3);
    expect(replica.store.applied.map((step) => step.index)).toEqual([1, 2, 3]);
  });

  test('gives the store the effects of one entry in one call', async () => {
    const replica = await Replica.start();

    replica.command([
      batch({ operations: [put('a', '1'), put('b', '2')] }),
      batch({ sequence: 2, operations: [del('a')] }),
    ]);

    expect(replica.store.applied).toHaveLength(1);
  });

  test('answers each batch of a command, in order', async () => {
    const replica = await Replica.start();

    const answers = replica.command([
      batch({ sessionId: session('a'), operations: [put('x', '1'), put('y', '1')] }),
      batch({ sessionId: session('b'), sequence: 5 }),
      batch({ sessionId: session('c'), operations: [del('x')] }),
    ]);

    expect(answers.map(brief)).toEqual(['put@1 put@2', 'SESSION_GAP not-applied', 'delete@3:1']);
  });

  test.each([0, 2, 7])('refuses entry %i when entry 1 is next', async (index) => {
    const machine = await StateMachine.open(new SimpleStateStore());

    expect(() => machine.apply({ index, type: 'noop', payload: bytes('') })).toThrow(
      /entries are applied in order/,
    );
  });

  test('answers operations that cannot be read and applies nothing of that batch', async () => {
    const replica = await Replica.start();

    const answers = replica.command([
      { ...batch(), operations: Buffer.of(0xc1) },
      batch({ operations: [put('k', 'v')] }),
    ]);

    // The first did not take the session's batch 1: it is as if it had never come.
    expect(answers.map(brief)).toEqual(['FRAME_INVALID not-applied', 'put@1']);
  });

  test('answers operations of which only the last cannot be read and applies none of them', async () => {
    const replica = await Replica.start();
    const good = batch({ operations: [put('k', 'v'), put('l', 'w')] }).operations;
    const cut = Buffer.from(good.subarray(0, good.byteLength - 1));

    const answers = replica.command([{ ...batch(), operations: cut }]);

    expect(answers.map(brief)).toEqual(['FRAME_INVALID not-applied']);
    expect(replica.machine.revision).toBe(0);
    expect(replica.machine.sessionCount).toBe(0);
  });

  test.each([
    ['a session id of another length', { sessionId: bytes('short') }],
    ['sequence 0', { sequence: 0 }],
  ])('answers a batch with %s with an error', async (_what, fields) => {
    const replica = await Replica.start();

    expect(replica.command([batch(fields)]).map(brief)).toEqual(['FRAME_INVALID not-applied']);
    expect(replica.machine.sessionCount).toBe(0);
  });

  test('keeps no part of the payload, which its owner may use again', async () => {
    const replica = await Replica.start();
    const value = bytes('value');
    const payload = Buffer.from(
      (await import('../../src/statemachine/command.js')).packCommand({
        timeMs: 1,
        batches: [batch({ operations: [{ type: 'put', key: bytes('key'), value }] })],
      }),
    );

    replica.entry('command', payload);
    payload.fill(0);

    expect(replica.machine.get(bytes('key'), null)).toMatchObject({
      value: bytes('value'),
    });
    expect(brief(replica.command([batch()])[0])).toBe('again put@1');
  });
});

describe('revisions (as in etcd)', () => {
  test('grow by one with each put', async () => {
    const replica = await Replica.start();

    expect(replica.write(put('a', '1'), put('a', '2'), put('b', '1'))).toEqual([
      { type: 'put', revision: 1 },
      { type: 'put', revision: 2 },
      { type: 'put', revision: 3 },
    ]);
  });

  test('grow with the delete of a key that is there, and not with that of one that is not', async () => {
    const replica = await Replica.start();

    expect(replica.write(del('a'), put('a', '1'), del('a'), del('a'))).toEqual([
      { type: 'delete', revision: 0, deleted: 0 },
      { type: 'put', revision: 1 },
      { type: 'delete', revision: 2, deleted: 1 },
      { type: 'delete', revision: 2, deleted: 0 },
    ]);
  });

  test('of a key: created once, modified with each put, counted by version', async () => {
    const replica = await Replica.start();

    replica.write(put('other', ''), put('a', 'one'), put('other', ''));
    replica.write(put('a', 'two'));

    expect(replica.machine.get(bytes('a'), null)).toEqual({
      value: bytes('two'),
      createRevision: 2,
      modRevision: 4,
      version: 2,
      lease: 0,
    });
  });

  test('start anew when a deleted key is put again', async () => {
    const replica = await Replica.start();

    replica.write(put('a', '1'), put('a', '2'), del('a'), put('a', '3'));

    expect(replica.machine.get(bytes('a'), null)).toMatchObject({
      createRevision: 4,
      modRevision: 4,
      version: 1,
    });
  });

  test('stay readable, also those before a deletion and between two lives', async () => {
    const replica = await Replica.start();
    replica.write(put('a', '1'), put('a', '2'), del('a'), put('b', 'x'), put('a', '3'));

    const values = [0, 1, 2, 3, 4, 5].map((revision) => {
      const found = replica.machine.get(bytes('a'), revision);
      return found && Buffer.from(found.value).toString();
    });

    expect(values).toEqual([null, '1', '2', null, null, '3']);
  });

  test('of the future are refused', async () => {
    const replica = await Replica.start();
    replica.write(put('a', '1'));

    const error = expect.objectContaining({
      code: 'FUTURE_REVISION',
      details: { revision: 2, current: 1 },
    });
    expect(() => replica.machine.get(bytes('a'), 2)).toThrow(error);
    await expect(replica.items({ revision: 2 })).rejects.toThrow(error);
  });

  test.each([-1, 1.5, Number.NaN])('%d is not one', async (revision) => {
    const replica = await Replica.start();

    expect(() => replica.machine.get(bytes('a'), revision)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });

  test('of a key that was written often are found with few reads of the store', async () => {
    const replica = await Replica.start();
    const writes = 5000;
    for (let n = 1; n <= writes; n += 1) replica.write(put('hot', String(n)));

    let readsMax = 0;
    for (let revision = 1; revision <= writes; revision += 7) {
      const before = replica.store.gets;
      const found = replica.machine.get(bytes('hot'), revision);
      readsMax = Math.max(readsMax, replica.store.gets - before);
      expect(found).toMatchObject({ modRevision: revision, value: bytes(String(revision)) });
    }

    // log2(5000) is 12.3; the worst path is about half of its square, and the record of the key comes first.
    expect(readsMax).toBeLessThan(81);
  });
});

describe('keys and values', () => {
  test('may hold any bytes, a value none', async () => {
    const replica = await Replica.start();
    const key = Uint8Array.from({ length: 256 }, (_, n) => n);

    replica.write({ type: 'put', key, value: new Uint8Array() });

    const found = replica.machine.get(key, null);
    expect(found?.value).toHaveLength(0);
    const all = { from: new Uint8Array(), to: null, reverse: false, keysMax: 2, revision: null };
    const { items } = await replica.machine.range(all);
    expect([...(items[0]?.key ?? [])]).toEqual([...key]);
  });

  test('are not bound by limits that replicas may set apart', async () => {
    const replica = await Replica.start();
    const key = Buffer.alloc(100_000, 1);
    const value = Buffer.alloc(3_000_000, 2);

    replica.write({ type: 'put', key, value });

    expect(replica.machine.get(key, null)?.value.byteLength).toBe(3_000_000);
  });
});

describe('log time', () => {
  test('is the highest time of any command and never goes back', async () => {
    const replica = await Replica.start();

    const times = [500, 400, 700].map((timeMs) => {
      replica.command([], timeMs);
      return replica.machine.logTimeMs;
    });

    expect(times).toEqual([500, 500, 700]);
  });

  test('does not move with other entries', async () => {
    const replica = await Replica.start();
    replica.command([], 500);

    replica.entry('noop');

    expect(replica.machine.logTimeMs).toBe(500);
  });
});

describe('the state hash', () => {
  test('is equal after equal entries and moves with every entry', async () => {
    const [a, b] = [await Replica.start(), await Replica.start()];
    const seen = new Set<number>();

    for (const replica of [a, b]) {
      replica.write(put('x', '1'));
      replica.entry('noop');
      replica.write(del('x'));
    }
    for (const step of a.store.applied) {
      seen.add((await StateMachine.open(a.store.reopenedAt(step.index))).stateHash);
    }

    expect(a.machine.stateHash).toBe(b.machine.stateHash);
    expect(seen.size).toBe(3);
  });

  test.each([
    ['a value', [put('x', '2')]],
    ['a key', [put('y', '1')]],
    ['the border of key and value', [put('x1', '')]],
    ['a deletion more', [put('x', '1'), del('x')]],
  ])('differs when %s differs', async (_what, operations) => {
    const [a, b] = [await Replica.start(), await Replica.start()];

    a.write(put('x', '1'));
    b.write(...operations);

    expect(a.machine.stateHash).not.toBe(b.machine.stateHash);
  });

  test('differs when only log time, or only a session, differs', async () => {
    const replicas = [await Replica.start(), await Replica.start(), await Replica.start()];

    replicas[0]?.command([batch()], 5);
    replicas[1]?.command([batch()], 6);
    replicas[2]?.command([batch({ sessionId: session('b') })], 5);

    expect(new Set(replicas.map((replica) => replica.machine.stateHash)).size).toBe(3);
  });

  test('does not depend on the options for reading', async () => {
    const [a, b] = [await Replica.start(), await Replica.start({ rangePageKeysMax: 1 })];

    a.write(put('x', '1'));
    b.write(put('x', '1'));

    expect(a.machine.stateHash).toBe(b.machine.stateHash);
  });
});

describe('opening a state machine', () => {
  test('finds index, revision, log time, hash and values again', async () => {
    const replica = await Replica.start();
    replica.command([batch({ operations: [put('a', '1'), put('b', '2')] })], 77);
    replica.entry('noop');
    const { appliedIndex, revision, stateHash, logTimeMs, sessionCount } = replica.machine;

    await replica.restart();

    expect(replica.machine).toMatchObject({
      appliedIndex,
      revision,
      stateHash,
      logTimeMs,
      sessionCount,
    });
    expect(await replica.items()).toEqual(['a=1', 'b=2']);
  });

  test('refuses a state that is not the one of the index', async () => {
    const replica = await Replica.start();
    replica.entry('noop');
    const store = new SimpleStateStore(replica.store.applied);
    store.apply(2, []);
    const wrong = new SimpleStateStore(store.applied);

    await expect(StateMachine.open(wrong)).rejects.toThrow(
      expect.objectContaining({ code: 'STATE_CORRUPT' }),
    );
  });

  test('refuses records it cannot read', async () => {
    const replica = await Replica.start();
    // Of a size that is read from the history.
    replica.command([batch({ operations: [put('k', 'v'.repeat(1000))] })]);
    const [step] = replica.store.applied;
    const damaged = (prefix: string) =>
      new SimpleStateStore([
        {
          index: 1,
          writes: (step?.writes ?? []).map(({ key, value }) =>
            String.fromCharCode(key[0] ?? 0) === prefix && value !== null
              ? { key, value: value.subarray(0, 5) }
              : { key, value },
          ),
        },
      ]);
    const corrupt = expect.objectContaining({ code: 'STATE_CORRUPT' });

    await expect(StateMachine.open(damaged('m'))).rejects.toThrow(corrupt);
    await expect(StateMachine.open(damaged('s'))).rejects.toThrow(corrupt);
    const keyDamaged = await StateMachine.open(damaged('k'));
    expect(() => keyDamaged.get(bytes('k'), null)).toThrow(corrupt);
    const valueDamaged = await StateMachine.open(damaged('r'));
    expect(() => valueDamaged.get(bytes('k'), null)).toThrow(corrupt);
  });
});
