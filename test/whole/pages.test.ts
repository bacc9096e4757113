import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { Page, partsOf } from './page.js';

/** What developers read works as it is written, from a cluster in which nothing is. */

const ROOT = resolve(import.meta.dirname, '../..');
/** For each page, which starts some twenty processes, on a machine that does much else. */
const PAGE_MS = 300_000;
/** With how many blocks and commands they have at least. */
const PAGES: readonly (readonly [name: string, parts: number])[] = [
  ['client.md', 15],
  ['procedures.md', 14],
  ['jobs.md', 9],
  ['testing.md', 1],
];

test.each(PAGES)(
  'docs/%s works as it is written, line by line',
  async (name, parts) => {
    await using cluster = await LocalCluster.start();
    await using page = await Page.open(name, cluster.endpoints);
    expect(page.parts.length).toBeGreaterThanOrEqual(parts);
    await page.check();
    await page.run();
  },
  PAGE_MS,
);

test('no other page has blocks of TypeScript, which nobody would run', () => {
  const others = readdirSync(join(ROOT, 'docs')).filter(
    (name) => name.endsWith('.md') && !PAGES.some(([page]) => page === name),
  );
  const blocks = others.flatMap((name) =>
    partsOf(readFileSync(join(ROOT, 'docs', name), 'utf8'))
      .filter(({ type }) => type === 'block')
      .map(() => name),
  );
  expect(blocks).toEqual([]);
});

describe('docs/client.md', () => {
  test('has all options of connect', () => {
    const page = readFileSync(join(ROOT, 'docs/client.md'), 'utf8');
    const [, table = ''] = /\n\| option \| default \| \|\n.*\n((?:\|.*\n)+)/.exec(page) ?? [];
    const told = [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
    const source = readFileSync(join(ROOT, 'src/client/options.ts'), 'utf8');
    const [, body = ''] =
      /export interface ConnectOptions<[^{]*\{\n([\s\S]*?)\n\}/.exec(source) ?? [];
    const known = [...body.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, name]) => name);
    expect(known.length).toBeGreaterThan(10);
    expect(told.toSorted()).toEqual(known.toSorted());
  });
});
