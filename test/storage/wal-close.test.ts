import { expect, test } from 'vitest';
import type { Done, File } from '../../src/storage/files.js';
import { MemoryFiles } from '../../src/storage/memory-files.js';
import { SEGMENT_HEADER_BYTES } from '../../src/storage/wal/format.js';
import { entries, write } from './log-helpers.js';
import { ManualWorld } from './manual-world.js';
import { openWal } from './wal-script.js';

/** A disk that knows what is under way, and which files were closed too early. */
class Watched {
  readonly world = new ManualWorld();
  readonly files = new MemoryFiles({ schedule: this.world.schedule });
  readonly closedEarly: string[] = [];
  underWay = 0;
  /** Before each write to a segment that has its name. */
  onWrite: (path: string, position: number) => void = () => {};

  constructor() {
    const open = this.files.open.bind(this.files);
    this.files.open = (path) => this.#watched(open(path), path);
  }

  #watched(file: File, path: string): File {
    const { writeAtLater, syncLater, close } = file;
    let own = 0;
    const counted = (done: Done): Done => {
      own += 1;
      this.underWay += 1;
      return (error) => {
        own -= 1;
        this.underWay -= 1;
        done(error);
      };
    };
    file.writeAtLater = (position, chunks, done) => {
      this.onWrite(path, position);
      writeAtLater.call(file, position, chunks, counted(done));
    };
    file.syncLater = (done) => syncLater.call(file, counted(done));
    file.close = () => {
      if (own > 0) this.closedEarly.push(path);
      close.call(file);
    };
    return file;
  }
}

test('a log that fails beside a frame is closed when the disk is done with the frame, not before', async () => {
  const disk = new Watched();
  const wal = openWal(disk.files, disk.world);
  disk.world.run();
  let isSecondBegun = false;
  disk.onWrite = (path, position) => {
    if (path.endsWith('2.wal') && position >= SEGMENT_HEADER_BYTES) isSecondBegun = true;
    // The end of the first segment is sealed while the next frame is written to the second one.
    else if (path.endsWith('1.wal') && isSecondBegun) disk.files.failNext('write', 'EIO');
  };
  const outcomes: unknown[] = [];
  let underWayThen = 0;
  let underWayAtEnd = -1;
  let closed: Promise<void> | null = null;
  for (let index = 1; index <= 5; index += 1) {
    wal.append(write(entries(index, 1, 1, 'x'.repeat(1000))), (error) => {
      outcomes.push(error);
      if (error === null) return;
      underWayThen = disk.underWay;
      closed = wal.close().then(() => {
        underWayAtEnd = disk.underWay;
      });
    });
    // The first three fill a segment.
    if (index < 4) disk.world.run();
  }
  disk.world.run();
  await closed;
  expect(outcomes).toEqual([
    null,
    null,
    null,
    null,
    expect.objectContaining({ code: 'DISK_FAILED' }),
  ]);
  expect(underWayThen).toBeGreaterThan(0);
  expect(underWayAtEnd).toBe(0);
  expect(disk.closedEarly).toEqual([]);
});
