import { copyFileSync, cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { seededRandom } from '../../src/base/random.js';
import { blocksOf, type Damage, damagesOf, dataFiles, inflict } from './damages.js';
import { examine, type Finding } from './examine.js';
import { makeSpecimens, type Specimens } from './specimens.js';

/** `DAMAGES=all npx vitest run test/damage` tries some thousands, in minutes; else so many of each file. */
const isAll = process.env.DAMAGES === 'all';
const FLIPS_MAX = isAll ? 400 : 40;
const HELIX_BLOCK_BYTES = isAll ? 512 : 8192;
const PER_FILE = isAll ? Number.POSITIVE_INFINITY : 6;

let specimens: Specimens;
beforeAll(async () => {
  specimens = await makeSpecimens();
});
afterAll(async () => {
  await specimens.servers[Symbol.asyncDispose]();
});

/** The log, and the state with what says which files are it. */
const HELIX_FILES = /^wal\/|\.ldb$|\.log$|MANIFEST/;

interface Case {
  readonly file: string;
  readonly damage: Damage;
}

function casesOf(folder: string): Case[] {
  const random = seededRandom(11);
  return dataFiles(folder).flatMap((file) => {
    const damages = damagesOf(join(folder, file), FLIPS_MAX);
    const [missing, ...others] = damages;
    const drawn = others
      .map((damage) => ({ damage, at: random.next() }))
      .sort((a, b) => a.at - b.at)
      .slice(0, PER_FILE);
    const chosen = missing === undefined ? [] : [missing];
    return [...chosen, ...drawn.map(({ damage }) => damage)].map((damage) => ({ file, damage }));
  });
}

function lookAt(folder: string, name: string): Promise<Finding> {
  const config = { ...specimens.servers.config(name, specimens.change), dataFolder: folder };
  return examine(config, specimens.values.keys());
}

/** Of a replica whose folder is whole. */
async function factsOf(master: string, name: string): Promise<string> {
  const copy = join(specimens.servers.folder, 'whole');
  cpSync(master, copy, { recursive: true });
  const whole = await lookAt(copy, name);
  rmSync(copy, { recursive: true });
  if (whole.type === 'refused') throw whole.error;
  return whole.facts;
}

/** What is wrong with how the damage was met, if anything. */
async function problemWith(
  { master, name, facts }: { master: string; name: string; facts: string },
  { file, damage }: Case,
): Promise<string | null> {
  const work = join(specimens.servers.folder, 'work');
  const look = (): Promise<Finding> => lookAt(work, name);
  cpSync(master, work, { recursive: true });
  try {
    if (!inflict(join(work, file), damage)) return null;
    const found = await look();
    if (found.type === 'opened') return found.facts === facts ? null : 'it was not noticed';
    const { code, message, details } = found.error;
    if (!['WAL_CORRUPT', 'STATE_CORRUPT', 'DELTAS_CORRUPT'].includes(code))
      return `it is called ${code}: ${message}`;
    const place = join(work, file.split('/')[0] ?? '');
    if (!`${message} ${JSON.stringify(details)}`.includes(place)) return `no file: ${message}`;
    // Nothing was destroyed by looking: with the good file all is as it was.
    copyFileSync(join(master, file), join(work, file));
    const again = await look();
    if (again.type === 'refused') return `put back, it is refused: ${again.error.message}`;
    return again.facts === facts ? null : 'put back, it is not what it was';
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

// Much of one core's time, which others may want too.
vi.setConfig({ testTimeout: 3_600_000 });

describe('damage anywhere in the folder of a replica', () => {
  test.each([
    ['stopped', 'n1'],
    ['killed', 'n3'],
  ] as const)(
    'is refused with the name of the file, or changes nothing; put back, all is there (%s %s)',
    async (end, name) => {
      const master = join(specimens[end], name);
      const cases = casesOf(master);
      expect(cases.length).toBeGreaterThan(60);
      const facts = await factsOf(master, name);
      const problems: string[] = [];
      for (const one of cases) {
        const problem = await problemWith({ master, name, facts }, one);
        if (problem !== null)
          problems.push(`${one.file} ${JSON.stringify(one.damage)}: ${problem}`);
      }
      expect(problems).toEqual([]);
    },
  );

  /**
   * Block by block through the log and the state, each damaged on one of the three, in turns. It is never
   * served, so that the two others decide; and nothing of it is destroyed, so that it can be put back.
   */
  test('of block after block, each on another one of the three, is refused with the name of the file', async () => {
    const problems: string[] = [];
    let count = 0;
    for (const [turn, name] of ['n1', 'n2', 'n3'].entries()) {
      const master = join(specimens.stopped, name);
      const facts = await factsOf(master, name);
      for (const file of dataFiles(master).filter((one) => HELIX_FILES.test(one))) {
        const blocks = blocksOf(join(master, file), HELIX_BLOCK_BYTES);
        for (const damage of blocks.filter((_, number) => number % 3 === turn)) {
          count += 1;
          const problem = await problemWith({ master, name, facts }, { file, damage });
          if (problem !== null)
            problems.push(`${name} ${file} ${JSON.stringify(damage)}: ${problem}`);
        }
      }
    }
    expect(problems).toEqual([]);
    expect(count).toBeGreaterThan(10);
  });
});
