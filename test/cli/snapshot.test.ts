import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeChunk, NO_CHUNKS } from '../../src/base/snapshot-codec.js';
import { FakeStore, fakeStatus, run } from './fakes.js';

let folder = '';
let file = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'balsa-cli-'));
  file = join(folder, 'b.snap');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function storeWithSnapshot(): FakeStore {
  const store = new FakeStore();
  store.statuses.set('127.0.0.1:7001', fakeStatus({}));
  const { chunk, sums } = makeChunk(NO_CHUNKS, [[Buffer.from('session'), Buffer.alloc(2000)]]);
  const header = {
    format: 1,
    id: 's1',
    clusterName: 'balsa',
    clusterId: 'c1',
    position: { index: 1200, term: 3 },
    configuration: Buffer.alloc(0),
    configurationIndex: 0,
    revision: 1090,
    stateHash: 255,
    createdMs: Date.UTC(2026, 0, 2),
  };
  store.snapshotParts = [
    { type: 'header', header },
    { type: 'chunk', chunk },
    { type: 'end', end: sums },
  ];
  return store;
}

/** A clock of which each look takes a second. */
function slowClock(): () => number {
  let nowMs = 0;
  return () => {
    nowMs += 1000;
    return nowMs;
  };
}

describe('snapshot save', () => {
  test('writes the file, and says how large it is and how fast it went', async () => {
    const store = storeWithSnapshot();
    const options = { store, nowMs: slowClock() };
    const result = await run(['snapshot', 'save', file], options);
    expect(result).toMatchObject({ exit: 0, stdout: `${file}\n` });
    expect(result.stderr).toMatch(
      /^saved balsa at revision 1,090 \(log entry 1,200\): 2\.1 KiB in \d+s \(\S+ (bytes|KiB)\/s\)\n$/,
    );
    expect(store.connections).toMatchObject([{ followLeader: false }]);
    expect(readdirSync(folder)).toEqual(['b.snap']);
  });

  test('-o json is one object', async () => {
    const result = await run(['snapshot', 'save', file, '-o', 'json'], {
      store: storeWithSnapshot(),
    });
    expect(JSON.parse(result.stdout)).toEqual({
      file,
      bytes: readFileSync(file).length,
      records: 1,
      cluster: 'balsa',
      revision: 1090,
      index: 1200,
      term: 3,
      seconds: 0,
    });
  });

  test('on a terminal it shows bytes and rate while it goes on', async () => {
    const result = await run(['snapshot', 'save', file], {
      store: storeWithSnapshot(),
      nowMs: slowClock(),
      isTerminal: true,
    });
    expect(result.stderr).toMatch(/2\.1 KiB, \S+ (bytes|KiB)\/s, \d+s/);
  });

  test('does not replace a file without --force', async () => {
    writeFileSync(file, 'mine');
    const store = storeWithSnapshot();
    const refused = await run(['snapshot', 'save', file], { store });
    expect(refused.exit).toBe(2);
    expect(refused.stderr).toContain(`${file} is there already; --force replaces it\n`);
    expect(readFileSync(file, 'utf8')).toBe('mine');
    expect((await run(['snapshot', 'save', file, '--force'], { store })).exit).toBe(0);
    expect(readFileSync(file, 'latin1')).toMatch(/^BALSA SNAPSHOT 1/);
  });

  test('one that broke off leaves no file', async () => {
    const store = storeWithSnapshot();
    store.snapshotParts.pop();
    const result = await run(['snapshot', 'save', file], { store });
    expect(result.exit).toBe(1);
    expect(result.stderr).toContain('error SNAPSHOT_CORRUPT: the snapshot is damaged');
    expect(readdirSync(folder)).toEqual([]);
  });

  test('a folder that is not there is told in one line', async () => {
    const result = await run(['snapshot', 'save', join(folder, 'no', 'b.snap')], {
      store: storeWithSnapshot(),
    });
    expect(result.exit).toBe(2);
    expect(result.stderr).toMatch(
      /^error FILE_UNREADABLE: .*b\.snap: ENOENT.*\ntry: check the path/,
    );
  });
});

describe('snapshot inspect', () => {
  beforeEach(async () => {
    await run(['snapshot', 'save', file], { store: storeWithSnapshot() });
  });

  test('prints what is in the file, when every checksum is right', async () => {
    const result = await run(['snapshot', 'inspect', file]);
    expect(result).toMatchObject({ exit: 0, stderr: 'every checksum is right\n' });
    expect(result.stdout).toContain('cluster\tbalsa (c1)\n');
    expect(result.stdout).toContain('revision\t1090\n');
    expect(result.stdout).toContain('state hash\t000000ff\n');
    const json = await run(['snapshot', 'inspect', file, '-o', 'json']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      cluster: 'balsa',
      revision: 1090,
      index: 1200,
      keys: 0,
      records: 1,
      created: '2026-01-02T00:00:00.000Z',
    });
  });

  test('damage is exit 1, with file and offset', async () => {
    const bytes = readFileSync(file);
    bytes[1000] = 1;
    writeFileSync(file, bytes);
    const result = await run(['snapshot', 'inspect', file]);
    expect(result).toMatchObject({ exit: 1, stdout: '' });
    expect(result.stderr).toMatch(
      /^error SNAPSHOT_CORRUPT: .*b\.snap, offset \d+: .*checksum is wrong/,
    );
  });

  test('what is no snapshot is told so', async () => {
    writeFileSync(file, 'no');
    const result = await run(['snapshot', 'inspect', file]);
    expect(result.exit).toBe(1);
    expect(result.stderr).toContain('b.snap is not a snapshot of Balsa\n');
    expect((await run(['snapshot', 'inspect', `${file}.x`])).exit).toBe(2);
  });
});

describe('snapshot restore', () => {
  test('a folder with something in it is refused, and a damaged file makes none', async () => {
    await run(['snapshot', 'save', file], { store: storeWithSnapshot() });
    const there = await run(['snapshot', 'restore', file, '--data', folder, '--name', 'n1']);
    expect(there.exit).toBe(1);
    expect(there.stderr).toContain('is not empty (b.snap)');
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.subarray(0, 1500));
    const data = join(folder, 'n1');
    const damaged = await run(['snapshot', 'restore', file, '--data', data, '--name', 'n1']);
    expect(damaged.exit).toBe(1);
    expect(damaged.stderr).toContain('error SNAPSHOT_CORRUPT');
    expect(existsSync(data)).toBe(false);
  });
});
