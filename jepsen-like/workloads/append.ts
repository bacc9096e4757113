import { BalsaError, type Client, type Transaction } from '../../src/client/client.js';
import type { Answer } from '../run/recorder.js';
import {
  type Bench,
  encode,
  forAll,
  parse,
  type Step,
  used,
  type Workload,
  type WorkloadClient,
} from './workload.js';

type ListStep = ['append' | 'r', string, unknown];

const KEYS_AT_ONCE = 4;
const ELEMENTS_PER_KEY = 60;

/** Half of the transactions run at the client, half of them as procedures. */
export const append: Workload = {
  name: 'append',
  about: 'transactions that read lists and append to them',
  checkers: ['append'],
  processes: 8,
  start: (bench, client) => {
    const { log, random } = client;
    return async () => {
      const steps = draw(bench, client);
      const question = { f: 'txn', value: steps, writes: true };
      if (random.int(2) === 0) await log.do(question, () => atClient(client, steps));
      else {
        await log.do({ ...question, class: 'call cp' }, async () => {
          const { result, revision, meta } = await client.db.call('lists', steps);
          return { value: result, revision, meta };
        });
      }
    };
  },
  finish: (bench) =>
    forAll(used(bench, 'lists'), (key) => {
      const steps: ListStep[] = [['r', key, null]];
      return bench.final({ f: 'txn', value: steps, writes: false }, () => atClient(bench, steps));
    }),
};

function draw(bench: Bench, { random }: WorkloadClient): ListStep[] {
  const count = 1 + random.int(4);
  return Array.from({ length: count }, (): ListStep => {
    const isAppend = random.int(2) === 0;
    const made = (bench.shared.get('elements') as number | undefined) ?? 0;
    if (isAppend) bench.shared.set('elements', made + 1);
    const generation = Math.floor(made / (KEYS_AT_ONCE * ELEMENTS_PER_KEY));
    const key = `append/${generation}-${random.int(KEYS_AT_ONCE)}`;
    used(bench, 'lists').add(key);
    return isAppend ? ['append', key, bench.fresh()] : ['r', key, null];
  });
}

async function atClient(
  { db }: Pick<WorkloadClient, 'db'>,
  steps: readonly ListStep[],
): Promise<Answer> {
  const work = async (tx: Reads): Promise<ListStep[]> => {
    const done: ListStep[] = [];
    for (const [f, key, element] of steps) {
      const { value: bytes } = await tx.get(key);
      const list = (parse(bytes) ?? []) as unknown[];
      if (f === 'append') tx.put(key, encode([...list, element]));
      done.push(f === 'append' ? [f, key, element] : [f, key, list]);
    }
    return done;
  };
  try {
    return { value: await db.transaction(work, { retries: 2 }) };
  } catch (error) {
    if (!(error instanceof BalsaError) || error.outcome !== undefined) throw error;
    // One of its reads failed: nothing had been sent to be written.
    throw error.withOutcome('not-applied');
  }
}

type Reads = Pick<Transaction<string | Uint8Array, Buffer, 'text'>, 'get' | 'put'>;

const ACCOUNTS = Array.from({ length: 8 }, (_, i) => `a${i}`);
const BALANCE = 100;

export const bank: Workload = {
  name: 'bank',
  about: 'procedures that move money between accounts, and read all of them',
  checkers: ['bank'],
  processes: 6,
  prepare: async (bench) => {
    const opened = Object.fromEntries(ACCOUNTS.map((account) => [account, BALANCE]));
    const log = bench.process();
    await log.do({ f: 'open', value: opened, writes: true }, async () => {
      const { revision, meta } = await bench.db.call('open', opened, { timeoutMs: 60_000 });
      return { revision, meta };
    });
  },
  start: (_bench, { db, log, random }): Step => {
    return async () => {
      if (random.int(4) === 0) {
        await log.do(BALANCES, () => readBalances(db));
        return;
      }
      const from = random.int(ACCOUNTS.length);
      const to = (from + 1 + random.int(ACCOUNTS.length - 1)) % ACCOUNTS.length;
      const value = { from: ACCOUNTS[from], to: ACCOUNTS[to], amount: 1 + random.int(40) };
      await log.do({ f: 'transfer', value, writes: true, class: 'call cp' }, async () => {
        const { revision, meta } = await db.call('transfer', value);
        return { revision, meta };
      });
    };
  },
  finish: async (bench) => {
    await bench.final(BALANCES, () => readBalances(bench.db));
  },
};

const BALANCES = { f: 'read', writes: false, class: 'call read' } as const;

async function readBalances(db: Client): Promise<Answer> {
  const { result, revision, meta } = await db.call('balances');
  return { value: result, revision, meta };
}
