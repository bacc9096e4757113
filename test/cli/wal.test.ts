import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { packOperations } from '../../src/base/operation-codec.js';
import { formedWith } from '../../src/raft/configuration.js';
import { packConfiguration } from '../../src/raft/configuration-codec.js';
import type { Entry } from '../../src/raft/types.js';
import { appendOffline } from '../../src/server/offline.js';
import { packCommand } from '../../src/statemachine/command.js';
import { NodeFiles } from '../../src/storage/node-files.js';
import { Wal } from '../../src/storage/wal/wal.js';
import { run } from './fakes.js';

let folder = '';
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'balsa-cli-'));
  await writeLog();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function command(...keys: string[]): Buffer {
  const operations = packOperations(
    keys.map((key) => ({ type: 'put', key: Buffer.from(key), value: Buffer.alloc(10) })),
  );
  const session = { sessionId: Buffer.alloc(16), bornIndex: 0, sequence: 1, acknowledged: 0 };
  return packCommand({ timeMs: 5, batches: [{ ...session, operations }] });
}

const ENTRIES: readonly Entry[] = [
  { index: 1, term: 1, type: 'noop', payload: Buffer.alloc(0) },
  { index: 2, term: 1, type: 'command', payload: command('a', 'b\u001b', 'c', 'd') },
  {
    index: 3,
    term: 2,
    type: 'configuration',
    payload: packConfiguration(formedWith(['n1.i1', 'n2.i2'], { learners: ['n3.i3'] })),
  },
  { index: 4, term: 2, type: 'command', payload: Buffer.from('nonsense') },
];

/** Each entry in a frame of its own, in `folder/wal`. */
async function writeLog(): Promise<void> {
  const wal = Wal.open({
    folder: join(folder, 'wal'),
    files: new NodeFiles(),
    limits: { walSegmentBytes: 64 * 1024, logCacheBytesMax: 0 },
    salt: 7,
  });
  for (const [i, entry] of ENTRIES.entries()) {
    const hardState = { currentTerm: entry.term, votedFor: 'n1.i1', commitIndex: i };
    await appendOffline(wal, { sequence: i + 1, hardState, entries: [entry] });
  }
  await wal.close();
}

function firstFile(): string {
  return join(folder, 'wal', readdirSync(join(folder, 'wal'))[0] ?? '');
}

/** What the files are, byte by byte. */
function contents(): Buffer[] {
  return readdirSync(join(folder, 'wal'))
    .sort()
    .map((name) => readFileSync(join(folder, 'wal', name)));
}

describe('wal inspect', () => {
  test('prints entries with what they hold, and where they lie', async () => {
    const result = await run(['wal', 'inspect', folder, '--from', '1']);
    expect(result.exit).toBe(0);
    const rows = result.stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t'));
    expect(rows.map(([index, term, type]) => [index, term, type])).toEqual([
      ['1', '1', 'noop'],
      ['2', '1', 'command'],
      ['3', '2', 'configuration'],
      ['4', '2', 'command'],
    ]);
    expect(rows[1]?.[6]).toBe('put a, put b\\e, put c, … 4 in all');
    expect(rows[2]?.[6]).toBe('voters n1.i1 n2.i2, learners n3.i3');
    expect(rows[3]?.[6]).toMatch(/^cannot be read: /);
    expect(rows[0]?.[4]).toMatch(/^[0-9a-f]{16}\.wal$/);
    expect(result.stderr).toMatch(/^entries 1 to 4, term 2; \S+ KiB in \d files?\nno damage\n$/);
  });

  test('without a range votes are shown, too; --from, --to and --limit choose', async () => {
    const all = await run(['wal', 'inspect', folder]);
    expect(all.stdout).toMatch(/\t1\thard-state\t.*vote for n1\.i1, committed through 0\n/);
    const two = await run(['wal', 'inspect', join(folder, 'wal'), '--from', '2', '--to', '3']);
    expect(two.stdout.split('\n').map((line) => line.split('\t')[0])).toEqual(['2', '3', '']);
    const one = await run(['wal', 'inspect', folder, '--from', '1', '--limit', '1']);
    expect(one.stdout.split('\n')).toHaveLength(2);
    expect(one.stderr).toContain('3 more: --limit, or --from and --to\n');
  });

  test('-o json is one object per record', async () => {
    const result = await run(['wal', 'inspect', folder, '-o', 'json', '--from', '2', '--to', '2']);
    expect(JSON.parse(result.stdout)).toMatchObject({
      kind: 'entry',
      index: 2,
      type: 'command',
      operations: 4,
      first: [{ type: 'put', key: 'a' }, { key: 'b\u001b' }, { key: 'c' }],
      file: firstFile(),
    });
  });

  test('a folder without a log is told so', async () => {
    const result = await run(['wal', 'inspect', tmpdir()]);
    expect(result.exit).toBe(2);
    expect(result.stderr).toContain(`error FILE_UNREADABLE: ${tmpdir()}: there is no log\n`);
  });
});

describe('wal verify', () => {
  test('a whole log is exit 0', async () => {
    const before = contents();
    const result = await run(['wal', 'verify', folder]);
    expect(result).toMatchObject({ exit: 0, stdout: '' });
    expect(result.stderr).toMatch(/no damage\n$/);
    expect(contents()).toEqual(before);
  });

  test('damage inside is exit 1, with file and offset, and nothing is changed', async () => {
    const file = firstFile();
    const bytes = readFileSync(file);
    // In the payload of the second frame.
    const at = bytes.indexOf('c', bytes.indexOf(Buffer.from('b\u001b')));
    bytes[at] = 0x7a;
    writeFileSync(file, bytes);
    const before = contents();
    const result = await run(['wal', 'verify', folder]);
    expect(result.exit).toBe(1);
    const [name, offset, problem] = result.stdout.split('\n')[0]?.split('\t') ?? [];
    expect(name).toBe(file);
    expect(Number(offset)).toBeLessThan(at);
    expect(problem).toMatch(/frame 2 cannot be read, but frame 3 follows/);
    expect(result.stderr).toContain(`first at offset ${offset} of ${file}: ${problem}\n`);
    const json = await run(['wal', 'verify', folder, '-o', 'json']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      damaged: true,
    });
    expect(JSON.parse(json.stdout).damages[0]).toEqual({ file, offset: Number(offset), problem });
    expect(contents()).toEqual(before);
  });

  test('a torn write at the end is told, and is no damage', async () => {
    const file = firstFile();
    const bytes = readFileSync(file);
    const { length } = bytes;
    const used = bytes.subarray(0, length).findLastIndex((byte) => byte !== 0) + 1;
    // Without the seal, which says that all before it was durable, the last frame may be torn.
    bytes.fill(0, used - 32, used);
    const end = bytes.subarray(0, length).findLastIndex((byte) => byte !== 0);
    bytes[end] = (bytes[end] ?? 0) ^ 0xff;
    writeFileSync(file, bytes);
    const before = contents();
    const result = await run(['wal', 'verify', folder]);
    expect(result.exit).toBe(0);
    expect(result.stderr).toMatch(
      /a write that was interrupted, .* never acknowledged, and cut off/,
    );
    expect(contents()).toEqual(before);
  });
});
