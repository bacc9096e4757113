import { describe, expect, test } from 'vitest';
import type { CallRecord } from '../../src/base/call.js';
import {
  type AppliedEntry,
  StateMachine,
  type StateMachineOptions,
} from '../../src/statemachine/state-machine.js';
import type { BatchAnswer } from '../../src/statemachine/types.js';
import { MemoryStateVault } from '../../src/storage/memory-state-vault.js';
import { chunksOf, headerOf } from '../storage/snapshot-helpers.js';
import {
  CONFLICT,
  call,
  deploy,
  failed,
  hashOf,
  sayCall,
  startWithProcedure,
  submit,
  submitAt,
} from './call-records.js';
import { bytes, put, type Replica } from './replica.js';

const EXPIRED = 'CALL_EXPIRED unknown';
const REUSED = 'CALL_KEY_REUSED not-applied';
const FULL = 'CALL_KEYS_FULL not-applied';

/** Writes a key of its own. */
function nth(key: string, more: Parameters<typeof call>[1] = {}): CallRecord {
  return call(key, { writes: { [`of ${key}`]: '1' }, ...more });
}

const named = (key: string, more: Parameters<typeof call>[1] = {}): CallRecord =>
  nth(key, { isNamed: true, ...more });

/** How often the call was applied. */
function timesOf(machine: StateMachine, key: string): number {
  return machine.get(bytes(`of ${key}`), null)?.version ?? 0;
}

/** Outcomes, and lists of their keys, that the store has. */
function kept(replica: Replica): { readonly outcomes: number; readonly groups: number } {
  const keys = replica.store.keys();
  return {
    outcomes: keys.filter((key) => key.startsWith('c')).length,
    groups: keys.filter((key) => key.startsWith('C')).length,
  };
}

async function at(replica: Replica, timeMs: number, ...calls: CallRecord[]): Promise<string[]> {
  return (await submitAt(replica, timeMs, calls)).map(sayCall);
}

describe('a call that comes again', () => {
  test('in its entry, in later ones and with other effects is answered as the first time', async () => {
    const replica = await startWithProcedure();
    const record = nth('a', { reads: { x: 0 } });
    const first = await submitAt(replica, 0, [record, record]);
    expect(first.map(sayCall)).toEqual(['"a"@1', 'again "a"@1']);
    await replica.do(put('x', '1'));
    const other = call('a', {
      ...{ reads: { x: 9 }, writes: { x: '2' }, isNamed: true, bornIndex: 99 },
      end: failed('PROCEDURE_FAILED'),
    });
    const again = await submitAt(replica, 0, [record, other]);
    expect(again.map(sayCall)).toEqual(['again "a"@1', 'again "a"@1']);
    const results = (answer: BatchAnswer | undefined) => answer?.ok && Buffer.from(answer.results);
    for (const answer of [...first, ...again]) expect(results(answer)).toEqual(results(first[0]));
    expect(replica.machine.revision).toBe(2);
    expect(timesOf(replica.machine, 'a')).toBe(1);
    expect(kept(replica)).toEqual({ outcomes: 1, groups: 1 });
  });

  test('is answered so also when its code is gone and the store is full', async () => {
    const replica = await startWithProcedure();
    await submit(replica, nth('a'));
    await replica.do({ type: 'settings', change: { spaceQuotaBytes: 1 } });
    await replica.do(deploy(hashOf('beef'), ['p']));
    expect(await submit(replica, nth('a'), nth('b'))).toEqual(['again "a"@1', CONFLICT]);
  });

  test('is applied when it was not before', async () => {
    const replica = await startWithProcedure();
    const record = nth('a', { reads: { x: 0 } });
    const blocked = call('b', { writes: { x: '1' } });
    const unblocking = call('c', { writes: { x: null } });
    expect(await submit(replica, blocked, record, unblocking, record, record)).toEqual([
      ...['"b"@1', CONFLICT, '"c"@2', '"a"@3', 'again "a"@3'],
    ]);
  });

  test('with other arguments is a mistake, and changes nothing', async () => {
    const replica = await startWithProcedure();
    const reused = { fingerprint: 'another', writes: { x: '' } };
    for (const isNamed of [false, true]) {
      const key = String(isNamed);
      const said = await submit(
        replica,
        nth(key, { isNamed }),
        call(key, { ...reused, isNamed }),
        call(key, { ...reused, isNamed: !isNamed }),
      );
      expect(said.slice(1)).toEqual([REUSED, REUSED]);
      expect(await submit(replica, call(key, reused), nth(key))).toEqual([
        REUSED,
        expect.stringContaining('again'),
      ]);
    }
    expect(await replica.items()).toEqual(['of false=1', 'of true=1']);
  });

  test('is known by the bytes of its key, whatever they are', async () => {
    const replica = await startWithProcedure();
    const keys = ['00', 'ff', '0000', 'c3a4', 'e4', 'ff'.repeat(256)].map((hex) =>
      Buffer.from(hex, 'hex'),
    );
    const records = keys.map((key, n) => ({ ...call(`${n}`), key }));
    await submit(replica, ...records);
    await replica.restart();
    const said = await submit(replica, ...records);
    expect(said).toEqual(keys.map((_, n) => `again "${n}"@0`));
    expect(kept(replica)).toEqual({ outcomes: keys.length, groups: 1 });
  });

  test('is known after a restart at every place, with the same state', async () => {
    const replica = await startWithProcedure({ callKeptMs: 100, callsKeptMax: 4 });
    await at(replica, 0, nth('a'), named('n'));
    await at(replica, 50, nth('b'), nth('a'));
    await at(replica, 150, nth('c', { bornIndex: 3 }), nth('a'), named('m'));
    await at(replica, 150, nth('d', { bornIndex: 3 }));
    const { stateHash } = replica.machine;
    const pairs = replica.store.pairs();
    const { length } = replica.log;
    for (let index = 0; index <= length; index += 1) {
      await replica.restart(index);
      expect(replica.machine.stateHash).toBe(stateHash);
      expect(replica.store.pairs()).toEqual(pairs);
    }
    const said = await at(replica, 150, ...['a', 'b', 'c', 'd'].map((key) => nth(key)));
    expect(said).toEqual([EXPIRED, 'again "b"@3', 'again "c"@4', 'again "d"@6']);
    expect(await at(replica, 150, named('n'), named('m'))).toEqual(['again "n"@2', 'again "m"@5']);
  });

  test('is known to a replica that began with a snapshot, which forgets as the others do', async () => {
    const options = { callKeptMs: 100, namedCallKeptMs: 200, callsKeptMax: 3, namedCallsMax: 3 };
    const replica = await startWithProcedure(options);
    await at(replica, 0, nth('a'), named('n'));
    await at(replica, 60, nth('b'), named('o'));
    await at(replica, 120, nth('c', { bornIndex: 2 }));
    const snapshots = replica.log.map((_, n) => n + 1);
    const said: (readonly string[])[] = [];
    for (const timeMs of [120, 170, 210, 300, 500]) {
      const all = ['a', 'b', 'c', 'd'].map((key) => nth(key, { bornIndex: 3 }));
      said.push(await at(replica, timeMs, ...all, ...['n', 'o', 'x', 'y'].map((k) => named(k))));
    }
    for (const index of snapshots) {
      const restored = await fromSnapshot(replica, index, options);
      expect(await restored.catchUp(replica.log)).toEqual(said);
      expect(restored.machine.stateHash).toBe(replica.machine.stateHash);
    }
    // They did forget, and refuse.
    const all = new Set(said.flat());
    expect([...all]).toEqual(expect.arrayContaining([FULL, EXPIRED, 'again "b"@3']));
  });
});

/** One with the state after entry `index`, by way of a snapshot. */
async function fromSnapshot(source: Replica, index: number, options: StateMachineOptions) {
  const pairs = source.store
    .reopenedAt(index)
    .pairs()
    .map(([key, value]) => [Buffer.from(key, 'latin1'), Buffer.from(value, 'latin1')] as const);
  const vault = new MemoryStateVault({ schedule: queueMicrotask });
  const incoming = await vault.beginImport(headerOf(index));
  const { chunks, end } = chunksOf(pairs, 5);
  for (const chunk of chunks) await incoming.write(chunk);
  await incoming.finish(end);
  const machine = await StateMachine.open(await vault.switchTo(incoming), options);
  return {
    machine,
    /** What the last five entries were answered. */
    async catchUp(log: readonly AppliedEntry[]): Promise<string[][]> {
      const said: string[][] = [];
      for (const entry of log.slice(index)) {
        await machine.prepare(entry);
        said.push(machine.apply(entry).map(sayCall));
      }
      return said.slice(-5);
    },
  };
}

describe('the outcome of a call is forgotten', () => {
  test('when it is older than callKeptMs in log time, that of a named one than namedCallKeptMs', async () => {
    const replica = await startWithProcedure({ callKeptMs: 100, namedCallKeptMs: 1000 });
    await at(replica, 1000, nth('a'), named('n'));
    expect(await at(replica, 1100, nth('a'), named('n'))).toEqual(['again "a"@1', 'again "n"@2']);
    expect(kept(replica)).toEqual({ outcomes: 2, groups: 2 });
    expect(await at(replica, 1101, nth('a'), named('n'))).toEqual([EXPIRED, 'again "n"@2']);
    expect(kept(replica)).toEqual({ outcomes: 1, groups: 1 });
    await replica.run({ timeMs: 2000 });
    expect(kept(replica)).toEqual({ outcomes: 1, groups: 1 });
    await replica.run({ timeMs: 2001 });
    expect(kept(replica)).toEqual({ outcomes: 0, groups: 0 });
    // Whoever names a call is promised that long, and no longer.
    expect(await at(replica, 2001, named('n'), nth('a'))).toEqual(['"n"@3', EXPIRED]);
    expect(timesOf(replica.machine, 'a')).toBe(1);
  });

  test('by log time alone: a leader whose clock is behind keeps it no longer', async () => {
    const replica = await startWithProcedure({ callKeptMs: 100 });
    await at(replica, 1000, nth('a'));
    await at(replica, 1101);
    expect(await at(replica, 0, nth('a'))).toEqual([EXPIRED]);
    await at(replica, 1101, nth('b', { bornIndex: 4 }));
    expect(await at(replica, 500, nth('b'))).toEqual(['again "b"@2']);
  });

  test('with its entry; to come again does not make it younger', async () => {
    const replica = await startWithProcedure({ callKeptMs: 100 });
    await at(replica, 0, nth('a'), nth('b'));
    await at(replica, 90, nth('a'), nth('c'));
    expect(kept(replica)).toEqual({ outcomes: 3, groups: 2 });
    const born = { bornIndex: 2 };
    expect(await at(replica, 101, nth('a'), nth('b'), nth('c'), nth('d', born))).toEqual([
      ...[EXPIRED, EXPIRED, 'again "c"@3', '"d"@4'],
    ]);
    expect(kept(replica)).toEqual({ outcomes: 2, groups: 2 });
  });

  test('when there are more than callsKeptMax, the oldest first; named ones do not count', async () => {
    const replica = await startWithProcedure({ callsKeptMax: 2 });
    await submit(replica, nth('a'), named('n'), named('m'));
    await submit(replica, nth('b'));
    expect(await submit(replica, nth('a'), nth('c', { bornIndex: 2 }))).toEqual([
      ...['again "a"@1', '"c"@5'],
    ]);
    expect(kept(replica).outcomes).toBe(5);
    expect(await submit(replica, nth('a'), nth('b'), nth('c'), named('n'))).toEqual([
      ...[EXPIRED, 'again "b"@4', 'again "c"@5', 'again "n"@2'],
    ]);
    expect(kept(replica).outcomes).toBe(4);
  });

  test('before the calls of an entry are judged', async () => {
    const replica = await startWithProcedure({ callKeptMs: 100, namedCallKeptMs: 100 });
    await at(replica, 0, nth('a'), named('n'));
    const said = await at(
      replica,
      101,
      nth('a'),
      nth('a', { bornIndex: 2 }),
      named('n'),
      named('n'),
    );
    // Whoever says that its key is younger is believed.
    expect(said).toEqual([EXPIRED, '"a"@3', '"n"@4', 'again "n"@4']);
    await replica.restart();
    expect(await submit(replica, nth('a'), named('n'))).toEqual(['again "a"@3', 'again "n"@4']);
  });

  test('4096 with one entry, and whole entries', async () => {
    const replica = await startWithProcedure({ callKeptMs: 100, namedCallKeptMs: 100 });
    const some = (name: string, count: number) =>
      Array.from({ length: count }, (_, n) => call(`${name} ${n}`));
    await at(
      replica,
      0,
      ...some('a', 2000),
      ...some('n', 10).map((c) => ({ ...c, isNamed: true })),
    );
    await at(replica, 0, ...some('b', 2000));
    await at(replica, 0, ...some('c', 2000));
    await at(replica, 0, ...some('d', 2000));
    const counts: number[] = [];
    for (let n = 0; n < 3; n += 1) {
      await replica.run({ timeMs: 1000 });
      counts.push(kept(replica).outcomes);
    }
    // The third lot begins below 4096, and is not divided.
    expect(counts).toEqual([2010, 0, 0]);
  });

  test('one by one when each entry has one', async () => {
    const replica = await startWithProcedure({ callKeptMs: 100 });
    for (let n = 0; n < 4200; n += 1) await submit(replica, call(`${n}`));
    await replica.run({ timeMs: 101 });
    expect(kept(replica)).toEqual({ outcomes: 104, groups: 104 });
    await replica.restart();
    // In the order of the log, also when they were read from the disk.
    const said = await submit(replica, call('4095'), call('4096'));
    expect(said).toEqual([EXPIRED, EXPIRED]);
    expect(kept(replica)).toEqual({ outcomes: 0, groups: 0 });
  });
});

describe('a call that was forgotten', () => {
  /** `a` was applied by entry 2, `b` by entry 3; `a` is forgotten. */
  async function forgetful(): Promise<Replica> {
    const replica = await startWithProcedure({ callKeptMs: 100 });
    await at(replica, 0, nth('a', { bornIndex: 1 }));
    await at(replica, 101, nth('b', { bornIndex: 2 }));
    return replica;
  }

  test('is never applied again, after a restart neither', async () => {
    for (const index of [0, 1, 2, 3]) {
      const replica = await forgetful();
      await replica.restart(index);
      expect(await submit(replica, nth('a', { bornIndex: 1 }))).toEqual([EXPIRED]);
      expect(timesOf(replica.machine, 'a')).toBe(1);
    }
  });

  test('and one that is new cannot be told apart when that was born before', async () => {
    const replica = await forgetful();
    const said = await submit(
      replica,
      nth('new', { bornIndex: 1 }),
      nth('born with it', { bornIndex: 2 }),
      nth('born behind it', { bornIndex: 3 }),
      named('named', { bornIndex: 1 }),
    );
    expect(said).toEqual([EXPIRED, '"born with it"@3', '"born behind it"@4', '"named"@5']);
  });

  test('is refused when it says that it was born with its entry or later', async () => {
    const replica = await startWithProcedure();
    const index = replica.log.length + 1;
    const said = await submit(
      replica,
      nth('a', { bornIndex: index }),
      nth('b', { bornIndex: index + 5 }),
      nth('c', { bornIndex: index - 1 }),
      named('n', { bornIndex: index }),
    );
    expect(said).toEqual([EXPIRED, EXPIRED, '"c"@1', EXPIRED]);
  });

  test('does not move that border when it was named', async () => {
    const replica = await startWithProcedure({ namedCallKeptMs: 100 });
    await at(replica, 0, named('n'));
    expect(await at(replica, 101, nth('a', { bornIndex: 0 }))).toEqual(['"a"@2']);
    expect(kept(replica).outcomes).toBe(1);
  });
});

describe('named calls beyond namedCallsMax', () => {
  test('are refused, others and known ones are not, until there is room', async () => {
    const replica = await startWithProcedure({ namedCallsMax: 2, namedCallKeptMs: 100 });
    const said = await at(replica, 0, named('a'), named('b'), named('c'), nth('d'), named('a'));
    expect(said).toEqual(['"a"@1', '"b"@2', FULL, '"d"@3', 'again "a"@1']);
    await replica.restart();
    const [answer] = await submitAt(replica, 100, [named('c')]);
    expect(answer).toMatchObject({ error: { details: { limit: 2 } } });
    expect(await at(replica, 101, named('c'), named('b'))).toEqual(['"c"@4', '"b"@5']);
    expect(await at(replica, 101, named('a'))).toEqual([FULL]);
  });

  test('take no room when they were rejected', async () => {
    const replica = await startWithProcedure({ namedCallsMax: 1 });
    const rejected = named('a', { reads: { x: 1 } });
    const fails = named('b', { end: failed('PROCEDURE_ABORTED') });
    expect(await submit(replica, rejected, fails, named('c'), named('d'))).toEqual([
      ...[CONFLICT, 'PROCEDURE_ABORTED not-applied', '"c"@1', FULL],
    ]);
    expect(kept(replica)).toEqual({ outcomes: 1, groups: 1 });
  });
});
