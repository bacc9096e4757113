import type { Client } from '../../src/client/client.js';
import { type Random, waitUntil } from '../../src/cluster/harness.js';
import type { ProcessLog } from '../run/recorder.js';
import { type Bench, pick, type Step, type Workload } from './workload.js';

const CELLS = {
  'ap/counter': 'counter',
  'ap/escrow': 'escrow',
  'ap/set': 'set',
  'ap/log': 'log',
} as const;
type CellKey = keyof typeof CELLS;

/** So that a cell does not grow beyond what one may hold. */
const ELEMENTS_MAX = 3000;
/** So little that it is soon sold out, and brought again. */
const STOCK = 60;

/** Cells that are written on all sides of a partition, and read there. */
export const apCells: Workload = {
  name: 'ap',
  about:
    'cells that every live side goes on to write: what each shows, and what is left of it in the end',
  checkers: ['ap'],
  processes: 9,
  prepare: async (bench) => {
    const log = bench.process();
    const value = { id: 'stock', value: STOCK };
    await log.do(
      { f: 'add', key: 'ap/escrow', value, writes: true, class: 'call ap' },
      async () => {
        const args = { key: 'ap/escrow', value: STOCK };
        const options = {
          consistency: 'ap-local',
          idempotencyKey: 'stock',
          timeoutMs: 60_000,
        } as const;
        const { meta } = await bench.db.call('apRestock', args, options);
        return { meta };
      },
    );
  },
  start: async (bench, client): Promise<Step> => {
    const { random, index } = client;
    let at = await standAt(bench, bench.system.names[index % bench.system.names.length]);
    return async () => {
      if (at === null || !isThere(bench, at)) {
        const { names } = bench.system;
        at = await standAt(bench, names[random.int(names.length)]);
        return;
      }
      if (random.int(3) > 0) {
        await change(bench, at, random);
        return;
      }
      const { db, log, node } = at;
      const key = pick(random, Object.keys(CELLS) as CellKey[]);
      const question = { f: 'read', key, node, level: 'ap-local', writes: false };
      await log.do({ ...question, class: 'call ap read' }, () => readCell(db, key, 'ap-local'));
    };
  },
  finish: (bench) => finalReads(bench),
};

/** A client that stays at one replica, beside it: whatever becomes of the network, that must serve it. */
interface Stand {
  readonly node: string;
  readonly address: string;
  readonly db: Client;
  readonly log: ProcessLog;
}

/** It may have left the cluster, and another one may have its name by now. */
function isThere({ system }: Bench, { node, address }: Pick<Stand, 'node' | 'address'>): boolean {
  return system.names.includes(node) && system.cluster.replica(node).address === address;
}

/** @returns null: there is none, or it has just joined and has nothing yet */
async function standAt(bench: Bench, node: string | undefined): Promise<Stand | null> {
  if (node === undefined) return null;
  const { address } = bench.system.cluster.replica(node);
  const db = await bench.connectTo(node).catch(() => null);
  if (db === null) return null;
  const status = await db.status().catch(() => null);
  if (status !== null && status.appliedIndex > 0) {
    return { node, address, db, log: bench.processAt(node) };
  }
  await db.close();
  return null;
}

/** What was asked for, and where first. */
interface Asked {
  readonly procedure: string;
  readonly f: string;
  readonly key: CellKey;
  readonly value: { readonly id: string; readonly value: number };
  readonly node: string;
}

/** Of those that were asked for last some are asked for again elsewhere: one of the calls counts. */
const ASKED_LAST = 20;
const AGAIN = 8;

async function change(bench: Bench, at: Stand, random: Random): Promise<void> {
  const last = (bench.shared.get('asked') as Asked[] | undefined) ?? [];
  bench.shared.set('asked', last);
  const elsewhere = last.filter(({ node }) => node !== at.node);
  if (elsewhere.length > 0 && random.int(AGAIN) === 0) {
    await ask(at, pick(random, elsewhere));
    return;
  }
  const [procedure, f, key] = pick(random, [
    ['apAdd', 'add', 'ap/counter'],
    ['apTake', 'take', 'ap/escrow'],
    ['apTake', 'take', 'ap/escrow'],
    ['apRestock', 'add', 'ap/escrow'],
    ['apInsert', 'insert', 'ap/set'],
    ['apAppend', 'append', 'ap/log'],
  ] as const);
  const number = bench.fresh();
  const grows = key === 'ap/set' || key === 'ap/log';
  if (grows && number > ELEMENTS_MAX) return;
  const value = { id: `a${number}`, value: grows ? number : 1 + random.int(3) };
  const asked = { procedure, f, key, value, node: at.node };
  last.push(asked);
  if (last.length > ASKED_LAST) last.shift();
  await ask(at, asked);
}

async function ask({ db, log, node }: Stand, { procedure, f, key, value }: Asked): Promise<void> {
  await log.do({ f, key, node, value, writes: true, class: 'call ap' }, async () => {
    const args = { key, value: value.value };
    const options = { consistency: 'ap-local', idempotencyKey: value.id } as const;
    const { result, meta } = await db.call(procedure, args, options);
    return { ...(f === 'take' ? { value: result } : {}), meta };
  });
}

async function readCell(db: Client, key: CellKey, consistency: 'ap-local' | 'any') {
  const args = { kind: CELLS[key], key };
  const { result, meta } = await db.call('apRead', args, { consistency });
  return { value: result, meta };
}

/** When no replica has anything left that is not merged: what each of them shows. */
async function finalReads(bench: Bench): Promise<void> {
  const { cluster } = bench.system;
  await waitUntil(
    'all deltas to be merged everywhere',
    async () => {
      const statuses = await cluster.statuses();
      const waiting = statuses.map(({ ap }) => ap?.pending ?? 0);
      return statuses.length === cluster.replicas.length && waiting.every((count) => count === 0)
        ? true
        : undefined;
    },
    { timeoutMs: 60_000 },
  );
  for (const { name } of cluster.replicas) {
    await using db = await cluster.connectTo(name, { timeoutMs: 20_000 });
    for (const key of Object.keys(CELLS) as CellKey[]) {
      const question = { f: 'final', key, node: name, level: 'ap-local', writes: false };
      await bench.final(question, () => readCell(db, key, 'ap-local'));
    }
  }
}

// ---------------------------------------------------------------------------------------------

export const triggers: Workload = {
  name: 'triggers',
  about: 'writes that call a trigger and calls that are made at a time: each has its effect once',
  checkers: ['triggers'],
  processes: 4,
  start: (bench, { db, log, random }): Step => {
    return async () => {
      const id = `t${bench.fresh()}`;
      if (random.int(3) > 0) {
        await log.do({ f: 'cause', value: id, writes: true, class: 'put' }, async () => {
          const { revision, meta } = await db.put(`cause/${id}`, JSON.stringify(id));
          return { revision, meta };
        });
        return;
      }
      const value = { id, inMs: random.int(3000) };
      await log.do({ f: 'due', value, writes: true, class: 'call cp' }, async () => {
        const { revision, meta } = await db.call('plan', value);
        return { revision, meta };
      });
    };
  },
  finish: async (bench) => {
    const fired = async (): Promise<string[]> => {
      const ids: string[] = [];
      for await (const { key, value } of bench.db.range({ prefix: 'fired/' })) {
        for (let i = 0; i < Number(value.toString()); i += 1) ids.push(key.slice('fired/'.length));
      }
      return ids;
    };
    // What is still to come comes within seconds; whether it does is what is judged.
    let before = -1;
    await waitUntil(
      'no more effects of triggers',
      async () => {
        const now = (await fired()).length;
        const isQuiet = now === before;
        before = now;
        return isQuiet ? true : undefined;
      },
      { intervalMs: 4000, timeoutMs: 60_000 },
    );
    await bench.final({ f: 'fired', writes: false }, async () => ({ value: await fired() }));
  },
};
