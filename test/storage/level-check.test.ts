import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { crc32c } from '../../src/storage/crc32c.js';
import { checkLevel } from '../../src/storage/level-check.js';
import { readLevelLog } from '../../src/storage/level-log.js';
import { LevelStateStore } from '../../src/storage/level-state-store.js';
import { applyAll, bytes, contents, put } from './snapshot-helpers.js';

const limits = { overlayBytesMax: 64 * 1024 * 1024 };
const BATCHES = 30;

let parent = '';
/** The first batch is in a table, all others are in the log. */
let killed = '';
/** All is in the log that was begun when it was opened. */
let unsynced = '';
let count = 0;
beforeAll(async () => {
  parent = mkdtempSync(join(tmpdir(), 'balsa-check-'));
  const folder = join(parent, 'running');
  const store = await LevelStateStore.open({ folder, limits });
  await applyAll(store, 1, [put('first', '1')]);
  await store.sync();
  for (let index = 2; index <= BATCHES; index += 1) {
    await applyAll(store, index, [put(`key ${index}`, 'v'.repeat(3000))]);
  }
  // As kill -9 leaves it: the batches are in LevelDB's own log only, in three blocks.
  killed = join(parent, 'killed');
  cpSync(folder, killed, { recursive: true });
  await store.close();
  const young = await LevelStateStore.open({ folder: join(parent, 'young'), limits });
  for (let index = 1; index <= 9; index += 1) {
    await applyAll(young, index, [put(`key ${index}`, 'v'.repeat(20_000))]);
  }
  unsynced = join(parent, 'unsynced');
  cpSync(join(parent, 'young'), unsynced, { recursive: true });
  await young.close();
});
afterAll(() => rmSync(parent, { recursive: true }));

function copyOf(folder: string): string {
  count += 1;
  const copy = join(parent, `copy-${count}`);
  cpSync(folder, copy, { recursive: true });
  return copy;
}

function fileLike(folder: string, pattern: RegExp): string {
  const name = readdirSync(folder).find((one) => pattern.test(one));
  if (name === undefined) throw new Error(`there is no ${pattern} in ${folder}`);
  return join(folder, name);
}

function flip(file: string, offset: number): void {
  const content = readFileSync(file);
  content.writeUInt8(content.readUInt8(offset) ^ 4, offset);
  writeFileSync(file, content);
}

/** A log of LevelDB with these records. */
function logOf(records: readonly Buffer[]): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (const record of records) {
    for (let from = 0; ; ) {
      let room = 32_768 - (at % 32_768);
      if (room < 7) {
        parts.push(Buffer.alloc(room));
        at += room;
        room = 32_768;
      }
      const data = record.subarray(from, from + room - 7);
      const isLast = from + data.length === record.length;
      const header = Buffer.alloc(7);
      header.writeUInt16LE(data.length, 4);
      header.writeUInt8(from === 0 ? (isLast ? 1 : 2) : isLast ? 4 : 3, 6);
      const checksum = crc32c(Buffer.concat([header.subarray(6), data]));
      const rotated = ((checksum >>> 15) | (checksum << 17)) >>> 0;
      header.writeUInt32LE((rotated + 0xa282_ead8) >>> 0);
      parts.push(header, data);
      at += 7 + data.length;
      from += data.length;
      if (isLast) break;
    }
  }
  return Buffer.concat(parts);
}

type Run = readonly [from: number, to: number];

/** A copy in whose logs are these records of the one log that was there. */
function withLogs(folder: string, logs: readonly (readonly Run[])[]): string {
  const copy = copyOf(folder);
  const file = fileLike(copy, /\.log$/);
  const { records } = readLevelLog(readFileSync(file));
  const first = Number(/(\d+)\.log$/.exec(file)?.[1]);
  for (const [place, runs] of logs.entries()) {
    const name = `${String(first + place).padStart(6, '0')}.log`;
    writeFileSync(join(copy, name), logOf(runs.flatMap(([from, to]) => records.slice(from, to))));
  }
  return copy;
}

/** Writes to a database with small logs, without end, and says a letter for each write. */
const WRITER = `
  import { Level } from 'level';
  const [, folder, seed] = process.argv;
  const database = new Level(folder, { writeBufferSize: 64 * 1024 });
  await database.open();
  let random = Number(seed);
  const int = (bound) => {
    random = (random * 48271) % 2147483647;
    return random % bound;
  };
  const write = async () => {
    const count = 1 + int(5);
    const puts = Array.from({ length: count }, () => ({
      type: 'put', key: 'key ' + int(500), value: 'v'.repeat(int(9000)),
    }));
    await database.batch(puts);
    process.stdout.write('w');
  };
  for (;;) {
    await Promise.all(Array.from({ length: 1 + int(3) }, write));
    if (int(20) === 0) await database.compactRange('x', 'x');
  }`;

/** Through where the state comes, and what is cut off to that end. */
async function opened(folder: string): Promise<{ readonly index: number; readonly cuts: number }> {
  const { cuts } = await checkLevel(folder);
  const store = await LevelStateStore.open({ folder, limits });
  try {
    return { index: store.restoredIndex, cuts: cuts.length };
  } finally {
    await store.abandon();
  }
}

const openError = (folder: string): Promise<unknown> =>
  LevelStateStore.open({ folder, limits }).then(
    async (store) => {
      await store.abandon();
      return null;
    },
    (error: unknown) => error,
  );

describe("LevelDB's files, before LevelDB opens them", () => {
  test('are fine as they are, also when there are none', async () => {
    const fine = { damage: null, cuts: [] };
    expect(await checkLevel(join(parent, 'none'))).toEqual(fine);
    expect(await checkLevel(killed)).toEqual(fine);
  });

  test('a gap in its log ends the state there: the rest comes again from the log of the replica', async () => {
    const size = readFileSync(fileLike(killed, /\.log$/)).length;
    expect(size).toBeGreaterThan(70_000);
    for (const offset of [10, 5000, 33_000, 50_000, size - 10]) {
      const folder = copyOf(killed);
      flip(fileLike(folder, /\.log$/), offset);
      const store = await LevelStateStore.open({ folder, limits });
      expect(store.restoredIndex).toBe(1 + Math.floor(offset / (size / (BATCHES - 1))));
      expect(await contents(store)).toHaveLength(store.restoredIndex);
      expect(Buffer.from(store.get(bytes('first')) ?? []).toString()).toBe('1');
      await store.abandon();
    }
  });

  test('a log that lacks whole batches ends the state before them, wherever they were', async () => {
    const log = readFileSync(fileLike(killed, /\.log$/));
    expect(logOf(readLevelLog(log).records)).toEqual(log);
    const cases = [
      [1, 2],
      [7, 9],
      [11, 20],
      [27, 28],
    ] as const;
    for (const [from, to] of cases) {
      const head = [0, from] as const;
      const rest = [to, BATCHES - 1] as const;
      const within = withLogs(killed, [[head, rest]]);
      const between = withLogs(killed, [[head], [rest]]);
      const apart = withLogs(killed, [[head], [], [rest], []]);
      for (const folder of [within, between, apart]) {
        expect(await opened(folder), `${from} to ${to}`).toEqual({ index: 1 + from, cuts: 1 });
      }
    }
  });

  test('a log that lacks its beginning, which is in the one before, leaves the state of the tables', async () => {
    expect(await opened(withLogs(unsynced, [[], [[1, 9]]]))).toEqual({ index: 0, cuts: 1 });
    expect(await opened(withLogs(unsynced, [[], [[3, 5]], [[5, 9]]]))).toEqual({
      ...{ index: 0, cuts: 2 },
    });
    // What the empty one began with nobody knows.
    expect(await opened(withLogs(killed, [[], [[0, 9]]]))).toEqual({ index: 1, cuts: 1 });
    expect(await opened(withLogs(killed, [[], [[4, 9]]]))).toEqual({ index: 1, cuts: 1 });
  });

  test('logs that lack nothing are left as they are', async () => {
    for (const at of [0, 1, 4, 9]) {
      const between = withLogs(unsynced, [[[0, at]], [[at, 9]]]);
      const apart = withLogs(unsynced, [[[0, at]], [], [[at, 9]], []]);
      for (const folder of [between, apart]) {
        expect(await opened(folder), `at ${at}`).toEqual({ index: 9, cuts: 0 });
      }
    }
    expect(await opened(withLogs(killed, [[[0, 9]], [[9, 20]], [[20, BATCHES - 1]]]))).toEqual({
      ...{ index: BATCHES, cuts: 0 },
    });
  });

  test('a database that was killed again and again has nothing to cut', async () => {
    const folder = join(parent, 'often-killed');
    for (const [time, letters] of [40, 1, 150, 7, 200].entries()) {
      const child = spawn(process.execPath, [
        '--input-type=module',
        '-e',
        WRITER,
        folder,
        `${letters}`,
      ]);
      const ended = once(child, 'exit');
      let said = 0;
      child.stdout.on('data', (chunk: Buffer) => {
        said += chunk.length;
        if (said >= letters) child.kill('SIGKILL');
      });
      await ended;
      expect([child.signalCode, said >= letters]).toEqual(['SIGKILL', true]);
      expect(await checkLevel(folder), `killed for the ${time + 1} times`).toEqual({
        ...{ damage: null, cuts: [] },
      });
    }
  });

  test('nothing is changed when one is damaged or missing: a good copy of it is enough', async () => {
    const cases: [RegExp, (file: string) => void][] = [
      [/^CURRENT$/, (file) => rmSync(file)],
      [/^CURRENT$/, (file) => writeFileSync(file, 'MANIFEST-000099\n')],
      [/^MANIFEST/, (file) => rmSync(file)],
      [/^MANIFEST/, (file) => truncateSync(file, readFileSync(file).length - 30)],
      [/^MANIFEST/, (file) => flip(file, 40)],
      [/\.ldb$/, (file) => rmSync(file)],
      [/\.ldb$/, (file) => flip(file, 5)],
      [/\.log$/, (file) => rmSync(file)],
    ];
    for (const [pattern, harm] of cases) {
      const folder = copyOf(killed);
      const file = fileLike(folder, pattern);
      harm(file);
      expect(await openError(folder), String(pattern)).toMatchObject({
        code: 'STATE_CORRUPT',
        message: expect.stringContaining(folder),
      });
      copyFileSync(fileLike(killed, pattern), file);
      const store = await LevelStateStore.open({ folder, limits });
      expect(store.restoredIndex).toBe(BATCHES);
      await store.abandon();
    }
  });
});
