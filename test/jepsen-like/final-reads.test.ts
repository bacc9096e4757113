import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { HistoryOperation } from '../../jepsen-like/history/operation.js';
import { RunClock } from '../../jepsen-like/run/clock.js';
import { FaultLog } from '../../jepsen-like/run/fault-log.js';
import { type FinalOptions, finalRead } from '../../jepsen-like/run/final-read.js';
import { Observer } from '../../jepsen-like/run/observer.js';
import { type Answer, type Question, Recorder } from '../../jepsen-like/run/recorder.js';
import type { Bench } from '../../jepsen-like/workloads/workload.js';
import { WORKLOADS } from '../../jepsen-like/workloads/workloads.js';
import { BalsaError } from '../../src/client/client.js';

let folder: string;
let recorder: Recorder;
let faults: FaultLog;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'balsa-finals-'));
  const clock = new RunClock();
  faults = new FaultLog(join(folder, 'faults.jsonl'), clock);
  const observer = new Observer(clock, faults);
  recorder = new Recorder({ path: join(folder, 'h.jsonl'), workload: 'w', clock, observer });
});

afterEach(() => {
  faults.close();
  rmSync(folder, { recursive: true, force: true });
});

function history(): HistoryOperation[] {
  recorder.close();
  const text = readFileSync(recorder.path, 'utf8').trim();
  return text.split('\n').map((line) => JSON.parse(line) as HistoryOperation);
}

const silent = (): never => {
  throw new BalsaError('TIMEOUT', 'no answer');
};
const never = async (): Promise<never> => silent();

/** What a workload has when all is over, beside a cluster that answers as `db` does. */
function benchOf(db: object): Bench {
  const dbs = { ...db, [Symbol.asyncDispose]: async () => {}, close: async () => {} };
  const used = ['register', 'idle', 'hostile', 'sets', 'lists', 'pairs', 'leased'];
  const shared = new Map<string, unknown>(used.map((what) => [what, new Set([`${what}/1`])]));
  shared.set('left', [{ id: 'job-1', isThere: true }]);
  const cluster = {
    replicas: [{ name: 'n1' }],
    statuses: async () => [{ ap: { pending: 0 } }],
    connectTo: async () => dbs,
  };
  return {
    ...{ db: dbs, shared, recorder, system: { cluster, names: ['n1'] } },
    connectTo: async () => dbs,
    process: () => recorder.process(),
    processAt: () => recorder.process(),
    finalMs: 0,
    final: (question: Question, call: () => Promise<Answer>, more?: FinalOptions) =>
      finalRead(recorder.process(), question, call, { ...more, timeoutMs: 0 }),
  } as unknown as Bench;
}

describe('what is read in the end', () => {
  const question = { f: 'read', key: 'k', writes: false };

  test('is asked for until it is told', async () => {
    let asked = 0;
    const call = async () => {
      asked += 1;
      return asked < 3 ? silent() : { value: 7 };
    };
    const came = await finalRead(recorder.process(), question, call);
    expect(came).toEqual({ type: 'ok', answer: { value: 7 } });
    const ends = history().filter(({ type }) => type !== 'invoke');
    expect(ends.map(({ type }) => type)).toEqual(['fail', 'fail', 'ok']);
  });

  test('is an error when it is not told in time, unless the error tells', async () => {
    const read = (answers: string[]) =>
      finalRead(recorder.process(), question, never, { timeoutMs: 0, answers });
    await expect(read([])).rejects.toThrow(BalsaError);
    expect(await read(['TIMEOUT'])).toEqual({ type: 'fail', error: 'TIMEOUT' });
  });

  const finishing = WORKLOADS.filter(({ finish }) => finish !== undefined);

  test('is read by every workload whose history needs it', () => {
    const without = WORKLOADS.filter((workload) => !finishing.includes(workload));
    expect(without.map(({ name }) => name)).toEqual(['unique-ids']);
  });

  test.each(finishing.map((workload) => [workload.name, workload] as const))(
    'of %s is an error when nobody answers',
    async (_, { finish }) => {
      const jobs = { get: () => ({ result: never }) };
      const db = {
        ...{ get: never, call: never, transaction: never, tryLock: never },
        ...{ range: silent, info: never, jobs },
      };
      await expect(finish?.(benchOf(db))).rejects.toThrow(BalsaError);
    },
  );

  test('of sets is every set that was used, also one of which nothing is left', async () => {
    const bench = benchOf({ range: async function* () {} });
    bench.shared.set('sets', new Set(['set/a/0/', 'set/b/0/', 'set/a/1/']));
    await WORKLOADS.find(({ name }) => name === 'set')?.finish?.(bench);
    const read = history().filter(({ f, type }) => f === 'read' && type === 'ok');
    expect(read.map(({ key, value }) => [key, value])).toEqual([
      ['set/a/0/', []],
      ['set/b/0/', []],
      ['set/a/1/', []],
    ]);
  });

  test('of leases is every key that hung on one, when all are gone', async () => {
    const left = [['lease/1', 'lease/2'], ['lease/2'], []];
    const range = async function* () {
      for (const key of left.shift() ?? []) yield { key };
    };
    const bench = benchOf({ range, get: async () => ({}) });
    bench.shared.set('leased', new Set(['lease/1', 'lease/2']));
    await WORKLOADS.find(({ name }) => name === 'lease')?.finish?.(bench);
    expect(left).toEqual([]);
    const read = history().filter(({ type }) => type === 'ok');
    expect(read.map(({ f, key, value }) => [f, key, value])).toEqual([
      ['get', 'lease/1', null],
      ['get', 'lease/2', null],
    ]);
  });

  describe('of watches', () => {
    const { finish } = WORKLOADS.find(({ name }) => name === 'watch') ?? {};
    /** Each watch tells these batches, and ends. */
    const cluster = (...watches: { revision: number; keys: string[] }[][]): object => ({
      info: async () => ({ revision: 7 }),
      watch: () => ({
        ready: Promise.resolve({}),
        batches: async function* () {
          for (const { revision, keys } of watches.shift() ?? []) {
            const events = keys.map((key) => ({ type: 'put', key, value: Buffer.from('1') }));
            yield { revision, events: events.map((event) => ({ ...event, revision })) };
          }
        },
      }),
    });
    const beginnings = () =>
      history().filter(({ f, type }) => f === 'watch' && type === 'ok') as { value: object }[];

    test('is that each replica tells all to the end, also when it has to begin anew', async () => {
      const db = cluster(
        [{ revision: 5, keys: ['watched/a/1'] }],
        [
          { revision: 6, keys: ['watched/a/2'] },
          { revision: 7, keys: [] },
        ],
      );
      const bench = benchOf(db);
      bench.shared.set('written', [4, 5, 6]);
      await finish?.({ ...bench, finalMs: 60_000 });
      const range = { prefix: 'watched/', through: 7 };
      expect(beginnings().map(({ value }) => value)).toEqual([
        { ...range, fromRevision: 4 },
        { ...range, fromRevision: 6 },
      ]);
    });

    test('is an error when one does not', async () => {
      const bench = benchOf(cluster([{ revision: 5, keys: ['watched/a/1'] }]));
      await expect(finish?.(bench)).rejects.toThrow(BalsaError);
      expect(beginnings()).not.toEqual([]);
    });
  });

  test('of locks is that they can be had, and are given back', async () => {
    const lock = (fencingToken: number) => ({ fencingToken, release: async () => {} });
    const answers = [null, lock(3), lock(4)];
    const bench = benchOf({ tryLock: async () => answers.shift() ?? null });
    await WORKLOADS.find(({ name }) => name === 'lock')?.finish?.({
      ...bench,
      final: (question, call) => finalRead(recorder.process(), question, call),
    });
    const ends = history().filter(({ type }) => type !== 'invoke');
    expect(ends.map(({ f, key, type, value }) => [f, key, type, value])).toEqual([
      ['acquire', 'lock-0', 'fail', undefined],
      ['acquire', 'lock-0', 'ok', 3],
      ['release', 'lock-0', 'ok', 3],
      ['acquire', 'lock-1', 'ok', 4],
      ['release', 'lock-1', 'ok', 4],
    ]);
  });

  test('of lists is every list that was used', async () => {
    const transaction = (work: (tx: object) => unknown) =>
      work({ get: async () => ({}), put: () => {} });
    const bench = benchOf({ transaction });
    bench.shared.set('lists', new Set(['append/0-1', 'append/7-3']));
    await WORKLOADS.find(({ name }) => name === 'append')?.finish?.(bench);
    const read = history().filter(({ type }) => type === 'ok');
    expect(read.map(({ value }) => value)).toEqual([
      [['r', 'append/0-1', []]],
      [['r', 'append/7-3', []]],
    ]);
  });
});
