import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { asBalsaError } from '../../src/base/errors.js';
import { makeChunk, NO_CHUNKS, type SnapshotPart } from '../../src/base/snapshot-codec.js';
import { BackupWriter, readBackup } from '../../src/server/backup-file.js';

let folder = '';
let file = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'balsa-backup-'));
  file = join(folder, 'b.snap');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A backup of so many chunks, of ten pairs each. */
function partsOf(chunks: number): SnapshotPart[] {
  const parts: SnapshotPart[] = [
    {
      type: 'header',
      header: {
        format: 1,
        id: 's1',
        clusterName: 'balsa',
        clusterId: 'c1',
        position: { index: 100, term: 3 },
        configuration: Buffer.alloc(0),
        configurationIndex: 0,
        revision: 90,
        stateHash: 7,
        createdMs: 1000,
      },
    },
  ];
  let sums = NO_CHUNKS;
  for (let chunk = 0; chunk < chunks; chunk += 1) {
    const pairs = Array.from({ length: 10 }, (_, i) => {
      return [Buffer.from(`x${chunk}-${i}`), Buffer.alloc(100, i)] as const;
    });
    const made = makeChunk(sums, pairs);
    sums = made.sums;
    parts.push({ type: 'chunk', chunk: made.chunk });
  }
  return [...parts, { type: 'end', end: sums }];
}

async function save(parts: readonly SnapshotPart[], overwrite = false): Promise<void> {
  const writer = await BackupWriter.create(file, overwrite);
  try {
    for (const part of parts) await writer.write(part);
    await writer.finish(overwrite);
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

async function load(): Promise<string[]> {
  const types: string[] = [];
  for await (const part of readBackup(file)) types.push(part.type);
  return types;
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => asBalsaError(error).code,
  );

describe('a backup file', () => {
  test('gives back what was written, and its pairs', async () => {
    const parts = partsOf(3);
    await save(parts);
    const found: unknown[] = [];
    for await (const { offset: _offset, ...part } of readBackup(file)) {
      if (part.type === 'chunk') {
        expect(part.pairs[9]?.[1]).toEqual(Buffer.alloc(100, 9));
        found.push({ type: part.type, chunk: part.chunk });
      } else {
        found.push(part);
      }
    }
    expect(found).toEqual(parts);
  });

  test('has its name only when it is whole, and leaves nothing when it was given up', async () => {
    const parts = partsOf(2);
    const writer = await BackupWriter.create(file, false);
    for (const part of parts.slice(0, -1)) await writer.write(part);
    expect(existsSync(file)).toBe(false);
    expect(await codeOf(writer.finish(false))).toBe('SNAPSHOT_CORRUPT');
    await writer.abandon();
    expect(existsSync(file)).toBe(false);
    expect(existsSync(`${file}.unfinished`)).toBe(false);
  });

  test('takes the place of another only when it is told to', async () => {
    await save(partsOf(1));
    expect(await codeOf(save(partsOf(2)))).toBe('INVALID_ARGUMENT');
    expect(await load()).toEqual(['header', 'chunk', 'end']);
    await save(partsOf(2), true);
    expect(await load()).toEqual(['header', 'chunk', 'chunk', 'end']);
    // Somebody else was faster.
    rmSync(file);
    const writer = await BackupWriter.create(file, false);
    for (const part of partsOf(1)) await writer.write(part);
    writeFileSync(file, 'mine');
    expect(await codeOf(writer.finish(false))).toBe('INVALID_ARGUMENT');
    expect(readFileSync(file, 'utf8')).toBe('mine');
  });

  test('is written by one at a time: of two it is the later one that goes on', async () => {
    const first = await BackupWriter.create(file, true);
    const second = await BackupWriter.create(file, true);
    for (const part of partsOf(3)) await first.write(part);
    expect(await codeOf(first.finish(true))).toBe('INVALID_ARGUMENT');
    await first.abandon();
    expect(existsSync(file)).toBe(false);
    for (const part of partsOf(1)) await second.write(part);
    await second.finish(true);
    expect(await load()).toEqual(['header', 'chunk', 'end']);
    expect(readdirSync(folder)).toEqual(['b.snap']);
  });

  test('what was damaged on its way is not written', async () => {
    const [header, first, second, end] = partsOf(2);
    if (header === undefined || end === undefined) throw new Error('parts');
    if (first?.type !== 'chunk' || second?.type !== 'chunk') throw new Error('chunks');
    const flipped = Buffer.from(first.chunk.pairs);
    flipped[20] = (flipped[20] ?? 0) ^ 1;
    const bad: SnapshotPart = { type: 'chunk', chunk: { ...first.chunk, pairs: flipped } };
    for (const parts of [
      [header, bad],
      [header, second],
      [first],
      [header, header],
      [header, end],
    ]) {
      expect(await codeOf(save(parts))).toBe('SNAPSHOT_CORRUPT');
    }
  });

  test('a flip of any byte is found, with the file and the offset', async () => {
    await save(partsOf(3));
    const whole = readFileSync(file);
    for (let at = 0; at < whole.length; at += 7) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      writeFileSync(file, damaged);
      const error = asBalsaError(await load().catch((cause: unknown) => cause));
      expect(['SNAPSHOT_CORRUPT', 'FILE_INVALID', 'VERSION_UNSUPPORTED'], `byte ${at}`).toContain(
        error.code,
      );
      expect(error.message, `byte ${at}`).toContain(file);
      if (error.code !== 'FILE_INVALID') expect(error.details.offset).toBeLessThanOrEqual(at);
    }
  });

  test('a file that was cut off anywhere, or has something behind its end, is found', async () => {
    await save(partsOf(2));
    const whole = readFileSync(file);
    for (let length = 16; length < whole.length; length += 11) {
      writeFileSync(file, whole.subarray(0, length));
      expect(await codeOf(load()), `cut after ${length}`).toBe('SNAPSHOT_CORRUPT');
    }
    writeFileSync(file, Buffer.concat([whole, Buffer.from('x')]));
    expect(await codeOf(load())).toBe('SNAPSHOT_CORRUPT');
    writeFileSync(file, 'something else');
    expect(await codeOf(load())).toBe('FILE_INVALID');
    writeFileSync(file, '');
    expect(await codeOf(load())).toBe('FILE_INVALID');
    rmSync(file);
    expect(await codeOf(load())).toBe('FILE_UNREADABLE');
  });
});
