import { cpSync, existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asBalsaError } from '../../src/base/errors.js';
import { connect } from '../../src/client/client.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import type { Server } from '../../src/server/server.js';
import { blocksOf, type Damage, dataFiles, inflict } from './damages.js';
import { agree, makeSpecimens, type Specimens } from './specimens.js';

const NAMES = ['n1', 'n2', 'n3'] as const;
/** Small enough for the smallest files to have three. */
const BLOCK_BYTES = 64;
type Name = (typeof NAMES)[number];

let specimens: Specimens;
beforeAll(async () => {
  specimens = await makeSpecimens();
});
afterAll(async () => {
  await specimens.servers[Symbol.asyncDispose]();
});

const folderOf = (name: Name): string => join(specimens.servers.folder, name);

/** All three as they were after an orderly end. */
function putAllBack(): void {
  for (const name of NAMES) {
    rmSync(folderOf(name), { recursive: true, force: true });
    cpSync(join(specimens.stopped, name), folderOf(name), { recursive: true });
  }
}

function start(name: Name, change: { reseed?: boolean } = {}): Promise<Server> {
  return specimens.servers.start(name, { ...specimens.change, ...change });
}

const codeOf = (starting: Promise<unknown>): Promise<string> =>
  starting.then(
    () => 'started',
    (error: unknown) => asBalsaError(error).code,
  );

/** The first data file of the member whose name is like this. */
function damage(name: Name, pattern: RegExp, what: Damage): string {
  const file = dataFiles(folderOf(name)).find((one) => pattern.test(one));
  if (file === undefined) throw new Error(`${name} has no file like ${pattern}`);
  expect(inflict(join(folderOf(name), file), what)).toBe(true);
  return file;
}

/** Every third block of the file, from this one on. @returns how many */
function damageThird(name: Name, file: string, turn: number): number {
  const path = join(folderOf(name), file);
  const blocks = blocksOf(path, BLOCK_BYTES).filter((_, number) => number % 3 === turn);
  for (const block of blocks) expect(inflict(path, block)).toBe(true);
  return blocks.length;
}

const flip = (offset: number): Damage => ({ kind: 'flip', offset, bit: 3 });

async function expectAllThere(members: readonly Server[]): Promise<void> {
  await using db = await connect({ endpoints: members.map(({ address }) => address) });
  for (const [key, value] of specimens.values) {
    expect((await db.get(key)).value?.toString(), key).toBe(value);
  }
}

const REGIONS: readonly [RegExp, Damage][] = [
  [/^wal\//, flip(4096 + 200)],
  [/^wal\//, flip(12)],
  [/^wal\//, { kind: 'missing' }],
  [/\.ldb$/, flip(700)],
  [/CURRENT$/, { kind: 'missing' }],
  [/MANIFEST/, { kind: 'truncated', size: 60 }],
  [/^state\.json$/, { kind: 'zeros', offset: 10, length: 20 }],
  [/^meta\.json$/, flip(100)],
];

describe('damaged replicas in a cluster', () => {
  test('one refuses and says what is damaged, the others serve all; with --reseed it is a whole voter again', async () => {
    putAllBack();
    const others = [await start('n1'), await start('n2')];
    await specimens.servers.leader();
    for (const [pattern, what] of REGIONS) {
      damage('n3', pattern, what);
      expect(await codeOf(start('n3')), String(pattern)).toMatch(/WAL_CORRUPT|STATE_CORRUPT/);
      const n3 = await start('n3', { reseed: true });
      await waitUntil('its vote', async () => {
        const voters = (others[0]?.status().membership.members ?? []).filter(
          ({ role }) => role === 'voter',
        );
        const { incarnation } = n3.status();
        const isIn = voters.some((member) => member.incarnation === incarnation);
        return voters.length === 3 && isIn ? true : undefined;
      });
      await agree([...others, n3]);
      await n3.close();
      const aside = readdirSync(folderOf('n3')).filter((one) => one.startsWith('damaged-'));
      expect(aside).toHaveLength(1);
      for (const one of aside) rmSync(join(folderOf('n3'), one), { recursive: true });
    }
    await expectAllThere(others);
    await Promise.all(others.map((server) => server.close()));
  });

  test('a helix: each piece is damaged on one of the three; all refuse, nothing is destroyed, put back all is there', async () => {
    const pieces = [/^wal\//, /\.ldb$/, /^meta\.json$/, /MANIFEST/, /^state\.json$/];
    for (let turn = 0; turn < 3; turn += 1) {
      putAllBack();
      const damaged = pieces.map((pattern, piece) => {
        const name = NAMES[(piece + turn) % 3] as Name;
        return { name, file: damage(name, pattern, flip(60 + piece)) };
      });
      for (const name of NAMES) {
        expect(await codeOf(start(name))).toMatch(/WAL_CORRUPT|STATE_CORRUPT/);
      }
      // Only what was damaged is put back: the rest must have been left alone.
      for (const { name, file } of damaged) {
        cpSync(join(specimens.stopped, name, file), join(folderOf(name), file));
      }
      const members = await Promise.all(NAMES.map((name) => start(name)));
      await agree(members);
      if (turn === 2) await expectAllThere(members);
      await Promise.all(members.map((server) => server.close()));
    }
  });

  test.each([
    ['the log', /^wal\//],
    ['the state', /\.(ldb|log)$/],
    ['what says which files are the state', /MANIFEST/],
  ])(
    'a helix of blocks: each block of %s, by its number, is damaged on one of the three; all refuse, put back all is there',
    async (_what, pattern) => {
      putAllBack();
      const damaged = NAMES.flatMap((name, turn) => {
        const files = dataFiles(folderOf(name)).filter((one) => pattern.test(one));
        return files.map((file) => ({ name, file, blocks: damageThird(name, file, turn) }));
      });
      for (const name of NAMES) {
        const blocks = damaged.map((one) => (one.name === name ? one.blocks : 0));
        expect(Math.max(...blocks), name).toBeGreaterThan(0);
        expect(await codeOf(start(name)), name).toMatch(/WAL_CORRUPT|STATE_CORRUPT/);
      }
      for (const { name, file } of damaged) {
        cpSync(join(specimens.stopped, name, file), join(folderOf(name), file));
      }
      const members = await Promise.all(NAMES.map((name) => start(name)));
      await agree(members);
      await expectAllThere(members);
      await Promise.all(members.map((server) => server.close()));
    },
  );

  test('--reseed of all three, or of two, never begins an empty cluster; what was set aside is all there', async () => {
    for (const damagedNames of [['n1', 'n2'], NAMES] as const) {
      putAllBack();
      const members: Server[] = [];
      for (const name of NAMES) {
        const isDamaged = (damagedNames as readonly string[]).includes(name);
        if (isDamaged) damage(name, /^wal\//, flip(4096 + 100));
        members.push(await start(name, isDamaged ? { reseed: true } : {}));
      }
      // Several election timeouts.
      await new Promise((resolve) => setTimeout(resolve, 1500));
      expect(members.map((server) => server.status().role)).not.toContain('leader');
      await Promise.all(members.map((server) => server.close()));
      for (const name of damagedNames) moveBack(name);
      const again = await Promise.all(NAMES.map((name) => start(name)));
      await agree(again);
      await expectAllThere(again);
      await Promise.all(again.map((server) => server.close()));
    }
  });
});

/** As an operator does who has found good copies of the damaged files. */
function moveBack(name: Name): void {
  const folder = folderOf(name);
  const aside = readdirSync(folder).find((one) => one.startsWith('damaged-'));
  if (aside === undefined) throw new Error(`${name} has nothing set aside`);
  const kept = join(specimens.servers.folder, `kept-${name}`);
  renameSync(join(folder, aside), kept);
  rmSync(folder, { recursive: true });
  renameSync(kept, folder);
  for (const file of dataFiles(folder).filter((one) => one.startsWith('wal/'))) {
    const good = join(specimens.stopped, name, file);
    if (existsSync(good)) cpSync(good, join(folder, file));
  }
}
