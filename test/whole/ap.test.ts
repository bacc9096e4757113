import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Client } from '../../src/client/client.js';
import type { Client as ByteClient } from '../../src/client/kv-client.js';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { bundleProcedures } from '../../src/compute/bundle.js';
import { ApLoad, type Done } from './ap-load.js';
import { temporaryFolder } from './support.js';

/** Procedures that stay available, at five real replicas that are parted, killed and wiped. */

const CODE = `
import { ap, appendLog, counter, escrow, read, set } from 'balsa/procedures';
type Work = { id: string; by: number };
export const work = ap({
  handler: (ctx, { id, by }: Work) => {
    const stock = ctx.cell(escrow('stock'));
    const took = stock.take(1);
    ctx.cell(counter('sum')).add(by);
    ctx.cell(set<string>('ids')).add(id);
    ctx.cell(appendLog<Work & { took: boolean }>('log')).append({ id, by, took });
    return { took, left: stock.value() };
  },
});
export const restock = ap({
  handler: (ctx, by: number) => { ctx.cell(escrow('stock')).add(by); },
});
export const look = read({
  handler: (ctx) => ({
    sum: ctx.cell(counter('sum')).value(),
    stock: ctx.cell(escrow('stock')).value(),
    ids: ctx.cell(set<string>('ids')).values(),
    log: ctx.cell(appendLog<Work & { took: boolean }>('log')).entries(),
  }),
});
`;

interface Look {
  readonly sum: number;
  readonly stock: number;
  readonly ids: readonly string[];
  readonly log: readonly Done[];
}

const STOCK = 60;
/** Of a whole story, on a machine that does much else. */
const STORY_MS = 240_000;
const SLOW = { timeoutMs: 60_000 };

async function deploy(db: Client | ByteClient): Promise<void> {
  using folder = temporaryFolder();
  const file = join(folder.path, 'procedures.ts');
  writeFileSync(file, CODE);
  await db.procedures.deploy(await bundleProcedures(file));
}

/** Five replicas with the procedures, each of which knows that it can take of the stock. */
async function stocked(): Promise<LocalCluster> {
  const cluster = await LocalCluster.start({ replicas: 5, network: 'switched' });
  await using db = await cluster.connect(SLOW);
  await deploy(db);
  await merged(cluster);
  await db.call('restock', STOCK, { idempotencyKey: 'restock' });
  await merged(cluster);
  return cluster;
}

/** Waits until the leader knows all queues, nothing waits to be merged, and all replicas have applied the same. */
async function merged(cluster: LocalCluster): Promise<void> {
  await cluster.waitFor(
    'nothing to be merged',
    async () => {
      const statuses = await cluster.statuses();
      const [first] = statuses;
      if (first === undefined || statuses.length < cluster.running.length) return false;
      return statuses.every(({ ap, appliedIndex }) => {
        return ap?.pending === 0 && appliedIndex === first.appliedIndex;
      });
    },
    SLOW,
  );
}

function look(db: ByteClient, consistency: 'ap-local' | 'any' | 'linearizable'): Promise<Look> {
  return db.call('look', null, { consistency, ...SLOW }).then(({ result }) => result as Look);
}

/** What each replica says is what was answered: each call once, and nothing else. */
async function expectOnce(cluster: LocalCluster, load: ApLoad): Promise<void> {
  await merged(cluster);
  const { acknowledged, unknown } = load;
  const looks: Look[] = [];
  for (const { name } of cluster.running) {
    await using one = await cluster.connectTo(name);
    looks.push(await look(one, 'any'));
  }
  for (const other of looks.slice(1)) expect(other).toEqual(looks[0]);
  const { log, ids, sum, stock } = looks[0] as Look;
  const logged = log.map(({ id }) => id);
  expect(logged.length).toBe(new Set(logged).size);
  expect([...acknowledged.keys()].filter((id) => !logged.includes(id))).toEqual([]);
  expect(logged.filter((id) => !acknowledged.has(id) && !unknown.has(id))).toEqual([]);
  expect([...ids].sort()).toEqual([...logged].sort());
  expect(sum).toBe(log.reduce((total, { by }) => total + by, 0));
  expect(stock).toBe(STOCK - log.filter(({ took }) => took).length);
  expect(stock).toBeGreaterThanOrEqual(0);
  // What was answered is what counts, but for calls of both sides: there one of two answers does.
  const other = log.filter(({ id, took }) => {
    const answers = acknowledged.get(id);
    return answers !== undefined && !answers.some((answer) => answer.took === took);
  });
  expect(other).toEqual([]);
  expect(new Set((await cluster.waitForEqual()).map(({ stateHash }) => stateHash)).size).toBe(1);
}

/** Two replicas on one side, the leader and two others on the other one. */
async function part(cluster: LocalCluster): Promise<[few: string[], many: string[]]> {
  const leader = await cluster.leader();
  const others = cluster.replicas.map(({ name }) => name).filter((name) => name !== leader);
  const sides: [string[], string[]] = [others.slice(0, 2), [leader, ...others.slice(2)]];
  cluster.partition(sides);
  await cluster.waitFor('the minority to have no leader', async () => {
    const statuses = await Promise.all(sides[0].map((name) => cluster.status(name)));
    return statuses.every((status) => status.leader === null);
  });
  return sides;
}

describe('ap procedures on real replicas', () => {
  test(
    'are served on both sides of a partition while a replica is killed, and each call counts once',
    async () => {
      await using cluster = await stocked();
      const [few, many] = await part(cluster);
      const [victim = '', survivor = ''] = few;
      await using load = await ApLoad.start(cluster, { few, many });
      await load.more(few, 60);
      await load.more(many, 60);
      await cluster.kill(victim);
      await load.more([survivor], 20);

      await using alone = await cluster.connectTo(survivor, { timeoutMs: 6000 });
      const copied = { durability: { peers: 1 }, consistency: 'ap-local' } as const;
      const wanted = { ...copied, idempotencyKey: 'copied' };
      const args = { id: 'copied', by: 1 };
      await expect(alone.call('work', args, wanted)).rejects.toMatchObject({
        ...{ code: 'TIMEOUT', outcome: 'unknown' },
      });
      await cluster.start(victim);
      const { pending, repeated, result } = await alone.call('work', args, { ...wanted, ...SLOW });
      expect({ pending, repeated }).toEqual({ pending: true, repeated: true });
      load.acknowledge('copied', result as { took: boolean });
      await load.more([victim], 20);
      // The one that was alone has passed on all that it was asked.
      await using other = await cluster.connectTo(victim);
      await cluster.waitFor('its copies', async () =>
        (await look(other, 'ap-local')).ids.includes('copied'),
      );
      expect((await look(other, 'any')).ids).not.toContain('copied');

      load.mended();
      cluster.heal();
      await load.more(few, 20);
      await load.more(many, 20);
      await load.stop();
      await expectOnce(cluster, load);
      // The connection, not the call: one that was on its way when it was killed, or found nobody.
      const lost = /^(UNREACHABLE|TIMEOUT): /;
      expect([...load.refusals(victim)].filter((refusal) => !lost.test(refusal))).toEqual([]);
      for (const name of [survivor, ...many]) expect([...load.refusals(name)]).toEqual([]);
      expect(load.pendingOf(few)).toEqual(new Set([true]));
      expect(load.levels).toEqual(new Set(['ap-local']));
      expect(load.leastLeft).toBeGreaterThanOrEqual(0);
      expect(load.shared).toBeGreaterThan(5);
      // There was less than was wanted, on either side.
      expect(load.tookNothing(few) && load.tookNothing(many)).toBe(true);
    },
    STORY_MS,
  );

  test(
    'of a replica whose disk was wiped count once by the copies of others, and it begins another queue',
    async () => {
      await using cluster = await stocked();
      const [few, many] = await part(cluster);
      const [wiped = '', keeper = ''] = few;
      const { ap: before } = await cluster.status(wiped);
      await using load = await ApLoad.start(cluster, { few: [], many });
      await load.more(many, 30);
      await using db = await cluster.connectTo(wiped, SLOW);
      const options = { consistency: 'ap-local', durability: { peers: 1 } } as const;
      const calls = Array.from({ length: 20 }, (_, i) => ({ id: `wiped ${i}`, by: 1 }));
      for (const args of calls) {
        const { result, pending } = await db.call('work', args, {
          ...{ ...options, idempotencyKey: args.id },
        });
        expect(pending).toBe(true);
        load.acknowledge(args.id, result as { took: boolean });
      }

      await cluster.kill(wiped);
      cluster.wipe(wiped);
      cluster.heal();
      await cluster.start(wiped, { args: ['--reseed'] });
      await cluster.waitFor(
        'it to have a vote again',
        async () => {
          // Where there is little of a processor an answer takes more than the second that `status` waits.
          const { membership } = await cluster.waitForLeader(SLOW);
          const own = await cluster.waitForAnswer(wiped, SLOW);
          const found = membership.members.find((m) => m.incarnation === own.incarnation);
          return found?.role === 'voter' && own.ap !== null && own.ap !== undefined;
        },
        SLOW,
      );
      await load.stop();
      await merged(cluster);
      const { ap: after } = await cluster.status(wiped);
      expect(after?.origin).toMatch(/^[0-9a-f]{16}$/);
      expect(after?.origin).not.toBe(before?.origin);
      // Asked again, where they were made, and where their copies were: they are known.
      for (const name of [wiped, keeper]) {
        await using again = await cluster.connectTo(name, SLOW);
        for (const args of calls) {
          const { repeated } = await again.call('work', args, {
            ...{ consistency: 'ap-local', idempotencyKey: args.id },
          });
          expect(repeated).toBe(true);
        }
        const args = { id: `since, at ${name}`, by: 1 };
        const { result } = await again.call('work', args, {
          ...{ consistency: 'ap-local', idempotencyKey: args.id },
        });
        load.acknowledge(args.id, result as { took: boolean });
      }
      await expectOnce(cluster, load);
      expect([...load.unknown]).toEqual([]);
    },
    STORY_MS,
  );
});
