import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Client } from '../../src/client/client.js';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { bundleProcedures } from '../../src/compute/bundle.js';
import { temporaryFolder } from './support.js';

const CODE = `
import { procedure, read, trigger } from 'balsa/procedures';
export const transfer = procedure({
  handler: (ctx, { from, to, amount }: { from: string; to: string; amount: number }) => {
    const left = (ctx.get<number>(from) ?? 100) - amount;
    if (left < 0) ctx.abort('not enough');
    ctx.put(from, left);
    ctx.put(to, (ctx.get<number>(to) ?? 100) + amount);
  },
});
export const total = read({
  handler: async (ctx) => {
    const all = await ctx.scan({ prefix: 'account/' });
    return all.reduce((sum, { value }) => sum + Number(value) - 100, 0);
  },
});
export const ordered = trigger({
  prefix: 'orders/',
  handler: (ctx, events) => {
    for (const { key } of events) ctx.add('seen/' + key, 1);
  },
});
export const ring = procedure({ handler: (ctx, id: string) => ctx.add('rung/' + id, 1) });
export const later = procedure({
  handler: (ctx, id: string) => { ctx.schedule({ inMs: 10 }, ring, id); },
});
`;

async function deploy(db: Client): Promise<void> {
  using folder = temporaryFolder();
  const file = join(folder.path, 'procedures.ts');
  writeFileSync(file, CODE);
  await db.procedures.deploy(await bundleProcedures(file));
}

/** How many keys begin so, and what they hold. */
async function valuesOf(db: Client, prefix: string): Promise<string[]> {
  const values: string[] = [];
  for await (const { value } of db.range({ prefix })) values.push(value.toString());
  return values;
}

const ACCOUNTS = 6;
const account = (i: number): string => `account/${i % ACCOUNTS}`;

describe('procedures on real replicas', () => {
  test('count once while one leader after the other is killed', async () => {
    await using cluster = await LocalCluster.start();
    await using db = await cluster.connect({ timeoutMs: 60_000 });
    await deploy(db);
    let applied = 0;
    let next = 0;
    let isOver = false;
    const work = async (): Promise<void> => {
      while (!isOver) {
        next += 1;
        const idempotencyKey = `call ${next}`;
        const args = { from: account(next), to: account(next + 1), amount: 1 };
        await db.call('transfer', args, { idempotencyKey });
        // Asked again it is the same one.
        const { repeated } = await db.call('transfer', args, { idempotencyKey });
        expect(repeated).toBe(true);
        applied += 1;
      }
    };
    const workers = Array.from({ length: 8 }, work);
    for (let kills = 1; kills <= 2; kills += 1) {
      await waitUntil('calls', async () => (applied >= kills * 40 ? true : undefined));
      const { replica } = await cluster.waitForLeader();
      await cluster.kill(replica);
      const before = applied;
      await waitUntil('calls', async () => (applied >= before + 20 ? true : undefined));
      await cluster.start(replica);
    }
    isOver = true;
    await Promise.all(workers);

    // In a ring each account gives as much as it gets, but for the ends of what was called.
    const balances = new Map<string, number>();
    for (let i = 1; i <= next; i += 1) {
      balances.set(account(i), (balances.get(account(i)) ?? 100) - 1);
      balances.set(account(i + 1), (balances.get(account(i + 1)) ?? 100) + 1);
    }
    const found = new Map<string, number>();
    for await (const { key, value } of db.range({ prefix: 'account/' })) {
      found.set(key, Number(value.toString()));
    }
    expect(found).toEqual(new Map([...balances].sort()));
    await cluster.waitForApplied((await cluster.waitForLeader()).appliedIndex);
    for (const { name } of cluster.replicas) {
      await using one = await cluster.connectTo(name);
      expect((await one.call('total', undefined, { consistency: 'any' })).result).toBe(0);
    }
  });

  test('are called once for each write, and once at their time, whoever leads', async () => {
    await using cluster = await LocalCluster.start();
    await using db = await cluster.connect({ timeoutMs: 60_000 });
    await deploy(db);
    const count = 150;
    const put = async (from: number, to: number): Promise<void> => {
      for (let i = from; i < to; i += 1) {
        await db.put(`orders/${i}`, String(i));
        if (i % 10 === 0) await db.call('later', `alarm${i}`, { idempotencyKey: `alarm${i}` });
      }
    };
    for (let third = 0; third < 3; third += 1) {
      const { replica } = await cluster.waitForLeader();
      const putting = put((third * count) / 3, ((third + 1) * count) / 3);
      await cluster.kill(replica);
      await putting;
      await cluster.start(replica);
    }

    const isDone = async (prefix: string, keys: number): Promise<true | undefined> =>
      (await valuesOf(db, prefix)).length === keys ? true : undefined;
    await waitUntil('all triggers', () => isDone('seen/', count), { timeoutMs: 90_000 });
    await waitUntil('all alarms', () => isDone('rung/', count / 10), { timeoutMs: 90_000 });
    // What is due comes no more: all that was scheduled is gone.
    expect(await valuesOf(db, '_schedule')).toEqual([]);
    expect(new Set(await valuesOf(db, 'seen/'))).toEqual(new Set(['1']));
    expect(new Set(await valuesOf(db, 'rung/'))).toEqual(new Set(['1']));
  });
});
