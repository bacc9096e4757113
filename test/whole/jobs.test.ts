import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Client } from '../../src/client/client.js';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { bundleProcedures } from '../../src/compute/bundle.js';
import { job } from '../../src/compute/procedures.js';
import { temporaryFolder } from './support.js';

const CODE = `
import { procedure, read } from 'balsa/procedures';
export const lengths = read({
  handler: (_ctx, texts: readonly { key: string; value: string }[]) =>
    texts.reduce((sum, { value }) => sum + value.length, 0),
});
export const sum = read({ handler: (_ctx, numbers: number[]) => numbers.reduce((a, b) => a + b, 0) });
export const square = procedure({
  handler: (ctx, n: number) => {
    ctx.add('squares', n * n);
    return n * n;
  },
});
export const count = procedure({
  handler: (ctx) => {
    const n = ctx.get<number>('counted') ?? 0;
    ctx.put('counted', n + 1);
    return n;
  },
});
export const numbers = read({
  handler: (_ctx, { args, cursor }: { args: number; cursor: number | null }) => {
    const from = cursor ?? 0;
    const to = Math.min(from + 7, args);
    return { items: Array.from({ length: to - from }, (_, i) => from + i), next: to < args ? to : null };
  },
});
export const fails = procedure({
  handler: (ctx, n: number) => {
    ctx.put('failed/' + n, 1);
    if (n === 3) throw new Error('three is too much');
  },
});
export const resumes = procedure({
  handler: (ctx, n: number) => {
    const { attempt = 0, job = '' } = ctx.task ?? {};
    if (attempt === 1) {
      ctx.checkpoint({ at: n });
      const until = 2e6;
      let x = 0;
      for (let i = 0; i < until; i += 1) x += i;
      throw new Error('not yet ' + x);
    }
    return { attempt, job, last: ctx.lastCheckpoint };
  },
});
export const forever = procedure({ handler: () => { for (;;); } });
`;

async function deploy(db: Client): Promise<void> {
  using folder = temporaryFolder();
  const file = join(folder.path, 'procedures.ts');
  writeFileSync(file, CODE);
  await db.procedures.deploy(await bundleProcedures(file));
}

async function numberAt(db: Client, key: string): Promise<number> {
  const { value } = await db.get(key);
  return Number(value?.toString() ?? 'NaN');
}

describe('jobs in the sandbox of real replicas', () => {
  test('give what their stages make of their input, and what they write counts once', async () => {
    await using cluster = await LocalCluster.start();
    await using db = await cluster.connect({ timeoutMs: 60_000 });
    await deploy(db);
    const texts = Array.from({ length: 300 }, (_, i) => 'x'.repeat(i));
    const characters = texts.join('').length;
    await Promise.all(texts.map((text, i) => db.put(`text/${String(i).padStart(4, '0')}`, text)));
    const words = job({
      input: { prefix: 'text/', values: 'text', bytesPerTask: 2000 },
      stages: { map: { run: 'lengths' }, total: { kind: 'reduce', run: 'sum', fanIn: 4 } },
    });
    const counting = await db.submit(words);
    // What is written meanwhile is not of its revision.
    await db.put('text/zzzz', 'x');
    expect(await counting.result()).toBe(characters);

    const list = Array.from({ length: 150 }, (_, i) => i);
    const squares = job({ stages: { square: { run: 'square' } } });
    const handle = await db.submit(squares, null, { input: { list } });
    expect(await handle.result()).toEqual(list.map((n) => n * n));
    expect(await numberAt(db, 'squares')).toBe(list.reduce((sum, n) => sum + n * n, 0));

    // All read and write one key: each but one of those that run at one time has read what holds no more.
    const counts = await db.submit(job({ stages: { count: { run: 'count' } } }), null, {
      input: { list: list.slice(0, 40) },
    });
    const got = await counts.result<number[]>();
    expect([...got].sort((a, b) => a - b)).toEqual(list.slice(0, 40));
    expect(await numberAt(db, 'counted')).toBe(40);

    const generated = job({
      input: { generate: 'numbers' },
      stages: { square: { run: 'square' }, total: { kind: 'reduce', run: 'sum' } },
    });
    expect(await (await db.submit(generated, 30)).result()).toBe(8555);
  });

  test('tell what has failed, go on from checkpoints, and end when they are told to', async () => {
    await using cluster = await LocalCluster.start({ replicas: 1 });
    await using db = await cluster.connect({ timeoutMs: 60_000 });
    await deploy(db);
    const failing = job({
      input: { list: [1, 2, 3, 4] },
      stages: { fails: { run: 'fails', retries: 1 } },
    });
    const failed = await db.submit(failing);
    await expect(failed.result()).rejects.toMatchObject({
      code: 'JOB_FAILED',
      details: { stage: 'fails', ordinal: 2, code: 'PROCEDURE_FAILED' },
    });
    expect((await db.get('failed/3')).value).toBeUndefined();
    await failed.retry();
    await expect(failed.result()).rejects.toMatchObject({ code: 'JOB_FAILED' });
    await failed.remove();
    await waitUntil('its removal', async () =>
      (await db.jobs.list()).length === 0 ? true : undefined,
    );

    const resumed = await db.submit(
      job({ input: { list: [7] }, stages: { resumes: { run: 'resumes' } } }),
    );
    expect(await resumed.result()).toEqual([{ attempt: 2, job: resumed.id, last: { at: 7 } }]);

    const endless = await db.submit(
      // As many as there are threads, and more.
      job({ input: { list: [1, 2, 3] }, stages: { forever: { run: 'forever' } } }),
    );
    await waitUntil('the task', async () =>
      (await endless.status()).stages[0]?.running === 3 ? true : undefined,
    );
    await endless.cancel();
    await expect(endless.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
    // Their threads are free again.
    const after = await db.submit(job({ stages: { s: { run: 'square' } } }), null, {
      input: { list: [1, 2, 3] },
    });
    expect(await after.result()).toEqual([1, 4, 9]);
  });

  test('are not charged with replicas that are stopped in order and started anew, one by one', async () => {
    await using cluster = await LocalCluster.start();
    await using db = await cluster.connect({ timeoutMs: 60_000 });
    await deploy(db);
    const long = job({ input: { list: [1, 2] }, stages: { forever: { run: 'forever' } } });
    const handle = await db.submit(long);
    const running = () =>
      waitUntil('the tasks', async () =>
        (await handle.status()).stages[0]?.running === 2 ? true : undefined,
      );
    for (const { name } of cluster.replicas) {
      await running();
      await cluster.restart(name);
    }
    await running();
    const { phase, stages } = await handle.status();
    expect([phase, stages[0]?.failures]).toEqual(['running', 0]);
    await handle.cancel();
  });

  test('go on when the leader is killed in the middle', async () => {
    await using cluster = await LocalCluster.start();
    await using db = await cluster.connect({ timeoutMs: 60_000 });
    await deploy(db);
    const list = Array.from({ length: 800 }, (_, i) => i);
    const handle = await db.submit(
      job({
        stages: {
          square: { run: 'square', poisonAfter: 9 },
          total: { kind: 'reduce', run: 'sum' },
        },
      }),
      null,
      { input: { list } },
    );
    await waitUntil('some tasks', async () =>
      ((await handle.status()).stages[0]?.done ?? 0) > 100 ? true : undefined,
    );
    const { replica } = await cluster.waitForLeader();
    await cluster.kill(replica);
    const total = list.reduce((sum, n) => sum + n * n, 0);
    expect(await handle.result({ timeoutMs: 60_000 })).toBe(total);
    expect(await numberAt(db, 'squares')).toBe(total);
  });
});
