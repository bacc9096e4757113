import { readdir } from 'node:fs/promises';
import { Level } from 'level';
import { assert } from '../base/assert.js';
import { giveWayInCompactions } from './compaction-thread.js';
import { MARKERS_FROM } from './flush-markers.js';
import { toLevelOpenError } from './level-errors.js';

export type Database = Level<Buffer, Buffer>;

const MiB = 1024 * 1024;

/** No record is there. */
const NOWHERE = Buffer.from(MARKERS_FROM);

/**
 * Opens LevelDB in the folder, or makes an empty one.
 * @throws BalsaError `DATA_FOLDER_IN_USE`, `STATE_CORRUPT`, `DATA_FOLDER_UNUSABLE`, `DISK_FULL`
 */
export async function openDatabase(folder: string): Promise<Database> {
  await giveWayInCompactions(async (scratch) => {
    const database: Database = new Level(scratch, { keyEncoding: 'buffer' });
    await database.open();
    await compactDatabase(database, NOWHERE, NOWHERE);
    await database.close();
  });
  const database: Database = new Level(folder, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    // Worker threads may open the same database.
    multithreading: true,
    writeBufferSize: 16 * MiB,
    cacheSize: 64 * MiB,
  });
  try {
    await database.open();
    return database;
  } catch (error) {
    await database.close();
    throw toLevelOpenError(error, folder);
  }
}

/**
 * A synced write is not enough: LevelDB changes its log file now and then, and never syncs the old
 * one. Compacting a range, even an empty one, first makes synced tables of all that is in memory. It
 * never says that it failed; that the logs from before are gone, which it deletes when their contents
 * are in tables, says that it has not.
 */
export async function syncDatabase(database: Database): Promise<void> {
  const before = await logsIn(database.location);
  await compactDatabase(database, NOWHERE, NOWHERE);
  const after = new Set(await logsIn(database.location));
  const kept = before.find((name) => after.has(name));
  if (kept === undefined) return;
  // A write is refused for what has failed before, and says what it was.
  await database.del(NOWHERE);
  throw new Error(`LevelDB could not make a table of what is in ${kept}`);
}

async function logsIn(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => /^\d+\.log$/.test(name));
}

/** Rewrites the tables of a range without what was deleted. In a thread of its own; writes go on. */
export async function compactDatabase(
  database: Database,
  from: Uint8Array,
  to: Uint8Array,
): Promise<void> {
  const compactRange: unknown = Reflect.get(database, 'compactRange');
  assert(typeof compactRange === 'function', 'the database can compact');
  await Reflect.apply(compactRange, database, [from, to]);
}

/** What the tables of a range take on the disk, about. */
export async function bytesInRange(
  database: Database,
  from: Uint8Array,
  to: Uint8Array,
): Promise<number> {
  const approximateSize: unknown = Reflect.get(database, 'approximateSize');
  assert(typeof approximateSize === 'function', 'the database can tell sizes');
  return await Reflect.apply(approximateSize, database, [from, to]);
}
