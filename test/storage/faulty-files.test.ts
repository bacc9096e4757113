import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type DiskFaultSettings, DiskFaults } from '../../src/storage/disk-faults.js';
import { FaultyFiles } from '../../src/storage/faulty-files.js';
import type { File } from '../../src/storage/files.js';
import { NodeFiles } from '../../src/storage/node-files.js';

/** The disk of a real process that a test makes fail. */

let folder: string;
let control: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'balsa-faulty-'));
  control = join(folder, 'faults.json');
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function tell(settings: DiskFaultSettings): void {
  writeFileSync(`${control}.new`, JSON.stringify(settings));
  renameSync(`${control}.new`, control);
}

function files(settings: DiskFaultSettings): FaultyFiles {
  tell(settings);
  return new FaultyFiles(new NodeFiles(), new DiskFaults(control));
}

const later = (work: (done: (error: Error | null) => void) => void): Promise<Error | null> =>
  new Promise((resolve) => work(resolve));

describe('a disk that loses what was not synced', () => {
  test('shows what was written, and has it only behind a sync', () => {
    const disk = files({ losesUnsynced: true });
    const path = join(folder, 'a');
    const file = disk.open(path);
    file.writeAt(0, [Buffer.from('hello '), Buffer.from('world')]);
    expect(file.readAt(0, 100).toString()).toBe('hello world');
    expect(disk.readWhole(path).toString()).toBe('hello world');
    expect(readFileSync(path, 'utf8')).toBe('');
    file.sync();
    file.writeAt(6, [Buffer.from('there')]);
    file.truncate(9);
    expect(file.readAt(0, 100).toString()).toBe('hello the');
    expect(readFileSync(path, 'utf8')).toBe('hello world');
  });

  test('keeps what is unsynced with a file that gets another name', () => {
    const disk = files({ losesUnsynced: true });
    disk.open(join(folder, 'a')).writeAt(0, [Buffer.from('new')]);
    disk.rename(join(folder, 'a'), join(folder, 'b'));
    expect(disk.readWhole(join(folder, 'b')).toString()).toBe('new');
    disk.open(join(folder, 'b')).sync();
    expect(readFileSync(join(folder, 'b'), 'utf8')).toBe('new');
  });

  test('is at each moment as an ordinary one to its owner, and as that was at the last sync to the next one', () => {
    const step = fc.oneof(
      fc.record({
        type: fc.constant('write' as const),
        at: fc.nat(30),
        text: fc.string({ maxLength: 9 }),
      }),
      fc.record({ type: fc.constant('truncate' as const), size: fc.nat(30) }),
      fc.record({ type: fc.constant('sync' as const) }),
    );
    let number = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        number += 1;
        const disk = files({ losesUnsynced: true });
        const faulty = disk.open(join(folder, `f${number}`));
        const plain = new NodeFiles().open(join(folder, `p${number}`));
        let synced = '';
        for (const one of steps) {
          for (const file of [faulty, plain]) apply(file, one);
          const shown = plain.readAt(0, 100).toString('latin1');
          expect(faulty.readAt(0, 100).toString('latin1')).toBe(shown);
          expect(faulty.size()).toBe(plain.size());
          if (one.type === 'sync') synced = shown;
          expect(readFileSync(join(folder, `f${number}`), 'latin1')).toBe(synced);
        }
        faulty.close();
        plain.close();
      }),
      { numRuns: 100 },
    );
  });
});

type Step =
  | { readonly type: 'write'; readonly at: number; readonly text: string }
  | { readonly type: 'truncate'; readonly size: number }
  | { readonly type: 'sync' };

function apply(file: File, step: Step): void {
  if (step.type === 'write') file.writeAt(step.at, [Buffer.from(step.text)]);
  else if (step.type === 'truncate') file.truncate(step.size);
  else file.sync();
}

describe('a disk that fails', () => {
  test('fails once, or until it is told otherwise, at the files that were named', async () => {
    const disk = files({});
    const wal = disk.open(join(folder, 'x.wal'));
    const other = disk.open(join(folder, 'other'));
    tell({ errors: [{ id: 1, step: 'sync', code: 'EIO', path: '.wal' }] });
    expect(await later((done) => other.syncLater(done))).toBeNull();
    expect(await later((done) => wal.syncLater(done))).toMatchObject({ code: 'EIO' });
    expect(await later((done) => wal.syncLater(done))).toBeNull();
    tell({ errors: [{ id: 2, step: 'write', code: 'ENOSPC', times: null }] });
    expect(() => other.writeAt(0, [Buffer.from('x')])).toThrow(/ENOSPC/);
    expect(await later((done) => wal.writeAtLater(0, [Buffer.from('x')], done))).toMatchObject({
      code: 'ENOSPC',
    });
    tell({});
    other.writeAt(0, [Buffer.from('x')]);
    expect(readFileSync(join(folder, 'other'), 'utf8')).toBe('x');
  });

  test('is not begun with when the file of faults is none', () => {
    writeFileSync(control, '{ "syncDelay": 5 }');
    expect(() => new DiskFaults(control)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    );
  });
});
