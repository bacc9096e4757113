import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { addCounts, countWords, wordCount } from '../../examples/word-count/words.js';
import { findEntry } from '../../src/cluster/entry.js';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { bundleProcedures } from '../../src/compute/bundle.js';
import { job } from '../../src/compute/procedures.js';
import { Talker, temporaryFolder } from './support.js';

const ROOT = join(import.meta.dirname, '../..');

const TASKS = `
import { setTimeout as delay } from 'node:timers/promises';
export async function double({ input }) { await delay(30); return 2 * input; }
export async function resume({ input, attempt, checkpoint, lastCheckpoint }) {
  const from = lastCheckpoint ?? 0;
  for (let at = from; at < 3; at += 1) await checkpoint(at + 1);
  if (attempt > 1) return { input, from };
  console.log('got as far as three');
  await delay(1e9);
}
export function large({ input }) { return Buffer.alloc(input, 'x'); }
export function sizes({ input }) { return input.map((bytes) => bytes.length); }
export function hang() { for (;;); }
export function hog() { const all = []; for (;;) all.push(new Array(100000).fill(all.length)); }
`;

function worker(cluster: LocalCluster, file: string, ...args: string[]): Talker {
  const endpoints = cluster.endpoints.join(',');
  return new Talker(process.execPath, [
    ...[findEntry(), 'worker', file, '--endpoints', endpoints, ...args],
  ]);
}

const READY = /waits for tasks/;

describe('workers in processes of their own', () => {
  test('run what they are given, hand on what they have not done, and join and leave at any time', async () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'tasks.mjs');
    writeFileSync(file, TASKS);
    await using cluster = await LocalCluster.start({ replicas: 1 });
    await using db = await cluster.connect({ timeoutMs: 60_000 });
    await using first = worker(cluster, file, '--slots', '2');
    await first.says(READY);

    // A result that is larger than a message, and bytes that another task takes.
    const large = await db.submit(
      job({
        input: { list: [10, 3_000_000] },
        stages: { large: { task: 'large' }, sizes: { kind: 'reduce', task: 'sizes', fanIn: 2 } },
      }),
    );
    expect(await large.result()).toEqual([10, 3_000_000]);

    // What neither ends nor stays within its memory is ended, and so is what it had started.
    const hanging = await db.submit(
      job({
        input: { list: [1] },
        stages: { hang: { task: 'hang', timeoutMs: 300, retries: 0 } },
      }),
    );
    await expect(hanging.result()).rejects.toMatchObject({ details: { code: 'TIMEOUT' } });
    const hogging = await db.submit(
      job({
        input: { list: [1] },
        stages: { hog: { task: 'hog', memoryBytes: 200 * 2 ** 20, poisonAfter: 1 } },
      }),
    );
    await expect(hogging.result()).rejects.toMatchObject({ details: { code: 'TASK_POISONED' } });

    // Killed in the middle: another one goes on from its last checkpoint.
    const resumed = await db.submit(
      job({ input: { list: [7] }, stages: { resume: { task: 'resume' } } }),
    );
    await first.says(/got as far as three/);
    first.child.kill('SIGKILL');
    await using second = worker(cluster, file, '--slots', '2');
    const [{ input, from }] = await resumed.result<[{ input: number; from: number }]>();
    expect(input).toBe(7);
    expect(from).toBe(3);

    // One that is asked to end does first what it has.
    const list = Array.from({ length: 60 }, (_, i) => i);
    const doubled = await db.submit(
      job({ input: { list }, stages: { double: { task: 'double' } } }),
    );
    await second.says(/done \S+ double/);
    await using third = worker(cluster, file, '--slots', '2');
    await third.says(READY);
    second.child.kill('SIGTERM');
    expect(await second.ends()).toBe(0);
    expect(await doubled.result()).toEqual(list.map((n) => 2 * n));
    expect((await doubled.status()).stages[0]).toMatchObject({ failures: 0 });
  });

  test('come to the right result while workers and the leader are killed', async () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'tasks.mjs');
    writeFileSync(file, TASKS);
    await using cluster = await LocalCluster.start();
    await using db = await cluster.connect({ timeoutMs: 60_000 });
    const start = async (): Promise<Talker> => {
      const one = worker(cluster, file, '--slots', '2');
      await one.says(READY);
      return one;
    };
    let workers = [await start(), await start()];
    const list = Array.from({ length: 300 }, (_, i) => i);
    const handle = await db.submit(
      job({ input: { list }, stages: { double: { task: 'double', poisonAfter: 100 } } }),
    );
    const isOver = async (n: number): Promise<true | undefined> =>
      ((await handle.status()).stages[0]?.done ?? 0) >= n ? true : undefined;
    for (const done of [20, 80]) {
      await waitUntil('tasks', () => isOver(done));
      workers[0]?.child.kill('SIGKILL');
      workers = [...workers.slice(1), await start()];
      const { replica } = await cluster.waitForLeader();
      await cluster.kill(replica);
      await cluster.start(replica);
    }
    expect(await handle.result({ timeoutMs: 60_000 })).toEqual(list.map((n) => 2 * n));
    for (const one of workers) await one[Symbol.asyncDispose]();
  });
});

describe('examples/word-count', () => {
  /** As many READMEs and licences below node_modules. */
  const TEXTS = 80;

  function realTexts(): string[] {
    const texts: string[] = [];
    const entries = readdirSync(join(ROOT, 'node_modules'), { recursive: true }) as string[];
    for (const entry of entries.sort()) {
      const path = join(ROOT, 'node_modules', entry);
      if (!/(^|\/)(readme|licen[cs]e)[^/]*$/i.test(entry) || !statSync(path).isFile()) continue;
      const bytes = readFileSync(path);
      if (!bytes.includes(0)) texts.push(bytes.toString('utf8'));
      if (texts.length === TEXTS) break;
    }
    return texts;
  }

  test('counts what one process counts', async () => {
    const texts = realTexts();
    expect(texts).toHaveLength(TEXTS);
    await using cluster = await LocalCluster.start({ replicas: 1 });
    await using db = await cluster.connect({ timeoutMs: 60_000 });
    await db.procedures.deploy(await bundleProcedures(join(ROOT, 'examples/word-count/words.ts')));
    await Promise.all(texts.map((text, i) => db.put(`text/${String(i).padStart(5, '0')}`, text)));
    const handle = await db.submit(wordCount);
    const counts = await handle.result();
    expect(counts).toEqual(countWords(texts));
    expect(addCounts([countWords(texts.slice(1)), countWords(texts.slice(0, 1))])).toEqual(counts);
    const { stages } = await handle.status();
    expect(stages.map(({ name }) => name)).toEqual(['input', 'map', 'combine', 'total']);
    expect(stages.find(({ name }) => name === 'map')?.done).toBeGreaterThan(5);
  });
});
