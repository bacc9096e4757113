import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { KEEP_UNSYNCED, MemoryFiles, tearUnsynced } from '../../src/storage/memory-files.js';
import { type InspectedRecord, inspectWal } from '../../src/storage/wal/inspect.js';
import { entries, type LogChange, ModelLog, write } from './log-helpers.js';
import { ManualWorld } from './manual-world.js';
import { openWal, runScript, scriptedChanges, scriptedWrites } from './wal-script.js';

const folder = '/data/wal';

function written(script: readonly (readonly LogChange[])[] = scriptedWrites()): MemoryFiles {
  const world = new ManualWorld();
  const files = new MemoryFiles({ schedule: world.schedule });
  runScript(openWal(files, world), world, script, () => {});
  return files;
}

describe('inspecting a log', () => {
  test('it lists the records of the log in their order, with where they lie', () => {
    const disk = written();
    const records: InspectedRecord[] = [];
    const report = inspectWal({ files: disk, folder, onRecord: (record) => records.push(record) });
    const entries = records.filter((record) => record.kind === 'entry');
    const appended = scriptedWrites().flatMap((list) =>
      list.flatMap((each) => ('entries' in each ? each.entries : [])),
    );
    expect(entries.map(({ index, term }) => [index, term])).toEqual(
      appended.map(({ index, term }) => [index, term]),
    );
    expect(entries.map(({ payload }) => Buffer.from(payload).toString())).toEqual(
      appended.map(({ payload }) => Buffer.from(payload).toString()),
    );
    expect(records[0]).toMatchObject({
      file: `${folder}/0000000000000001.wal`,
      offset: 4096,
      sequence: 1,
    });
    expect(report.records).toBe(records.length);
    expect(report.damages).toEqual([]);
    expect(report.tornTail).toBeNull();
    const frames = report.segments.map((segment) => segment.frames);
    expect(frames.length).toBeGreaterThan(3);
    expect(report.frames).toBe(frames.reduce((sum, count) => sum + count, 0));
  });

  for (const [title, script] of [
    ['appends and cuts', scriptedWrites()],
    ['compactions and resets', scriptedChanges()],
  ] as const) {
    test(`it says what the log is after ${title}`, () => {
      const model = ModelLog.after(script.flat());
      expect(inspectWal({ files: written(script), folder })).toMatchObject({
        damages: [],
        tornTail: null,
        hardState: model.hardState,
        logStart: model.start,
        last: { index: model.lastIndex, term: model.log.at(-1)?.term },
      });
    });
  }

  test('it changes nothing', () => {
    const disk = written(scriptedChanges());
    const before = disk.list(folder).map((name) => disk.readWhole(`${folder}/${name}`));
    const { steps } = disk;
    inspectWal({ files: disk, folder });
    expect(disk.steps).toBe(steps);
    expect(disk.list(folder).map((name) => disk.readWhole(`${folder}/${name}`))).toEqual(before);
  });

  test('it finds damage exactly where the log refuses to open', () => {
    for (const disk of [written(), written(scriptedChanges())]) {
      let damaged = 0;
      for (const name of disk.list(folder)) {
        const path = `${folder}/${name}`;
        const size = disk.readWhole(path).length;
        for (let offset = 3; offset < size; offset += offset < 32 ? 1 : 61) {
          const rotten = disk.copy(new ManualWorld().schedule);
          rotten.flipBit(path, offset, offset % 8);
          const { damages } = inspectWal({ files: rotten, folder });
          const error = openError(rotten);
          expect(damages.length > 0, `${path} ${offset}`).toBe(error !== null);
          if (error === null) continue;
          damaged += 1;
          const places = damages.map((each) => ({ file: each.file, offset: each.offset }));
          expect(places).toContainEqual(error.details);
        }
      }
      expect(damaged).toBeGreaterThan(100);
    }
  });

  test('a write that a crash interrupted is said to be one, and is no damage', () => {
    let torn = 0;
    for (let step = 20; step < 120; step += 1) {
      const world = new ManualWorld();
      const files = new MemoryFiles({ schedule: world.schedule });
      files.onStep = ({ number }) => {
        if (number === step) files.halt();
      };
      try {
        runScript(openWal(files, world), world, scriptedWrites(), () => {});
      } catch {
        continue;
      }
      const after = files.crash(tearUnsynced(seededRandom(step)));
      const report = inspectWal({ files: after, folder });
      expect(report.damages).toEqual([]);
      const { repairs } = openWal(after, new ManualWorld());
      expect(report.tornTail).toEqual(repairs[0] ?? null);
      torn += repairs.length;
    }
    expect(torn).toBeGreaterThan(3);
  });

  test('behind damage it goes on with what can be read', () => {
    const disk = written().crash(KEEP_UNSYNCED);
    const whole = inspectWal({ files: disk, folder });
    const frames = new Map<number, InspectedRecord>();
    inspectWal({ files: disk, folder, onRecord: (record) => frames.set(record.sequence, record) });
    const { file, offset } = frames.get(3) as InspectedRecord;
    disk.flipBit(file, offset + 40);
    const report = inspectWal({ files: disk, folder });
    expect(report.damages[0]).toMatchObject({
      file,
      offset,
      problem: expect.stringContaining('frame 3 cannot be read, but frame 4 follows'),
    });
    expect(report.frames).toBe(whole.frames - 1);
    expect(report.last).toEqual(whole.last);
  });

  test('a file that is missing is named', () => {
    const disk = written();
    disk.remove(`${folder}/0000000000000002.wal`);
    expect(inspectWal({ files: disk, folder }).damages[0]).toMatchObject({
      file: `${folder}/0000000000000002.wal`,
      offset: 0,
      problem: 'the file is missing',
    });
  });

  for (const isCut of [false, true]) {
    const title = isCut ? 'writes to it and cuts it' : 'writes to it';
    test(`a replica that ${title} meanwhile has no damage`, () => {
      for (let quiet = 1; quiet <= 4; quiet += 1) {
        const world = new ManualWorld();
        const files = new MemoryFiles({ schedule: world.schedule });
        const wal = openWal(files, world);
        let last = 0;
        const goOn = (): void => {
          for (let n = 0; n < 8; n += 1) {
            wal.append(write(entries(last + 1, 1, 1, 'x'.repeat(500))), () => {});
            last += 1;
            world.run();
          }
          if (isCut) wal.compactTo({ index: last - 1, term: 1 }, () => {});
          world.run();
        };
        for (let n = 0; n < 3; n += 1) goOn();
        const before = last;
        const read = files.readWhole.bind(files);
        let reads = 0;
        files.readWhole = (path) => {
          const bytes = Buffer.from(read(path));
          reads += 1;
          if (reads >= quiet && reads < quiet + 3) goOn();
          return bytes;
        };
        const report = inspectWal({ files, folder });
        expect(report.damages).toEqual([]);
        expect(report.last.index).toBeGreaterThanOrEqual(before);
        expect(last > before).toBe(reads >= quiet);
      }
    });
  }

  test('an empty folder is an empty log', () => {
    const files = new MemoryFiles({ schedule: new ManualWorld().schedule });
    expect(inspectWal({ files, folder })).toMatchObject({ segments: [], damages: [], frames: 0 });
  });
});

function openError(files: MemoryFiles): BalsaError | null {
  try {
    openWal(files, new ManualWorld());
    return null;
  } catch (error) {
    if (error instanceof BalsaError) return error;
    throw error;
  }
}
