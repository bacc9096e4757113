import { realpathSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Level } from 'level';
import { BalsaError } from '../base/errors.js';
import { toLevelOpenError } from './level-errors.js';

/** In the folder that is locked. */
export const LOCK_FOLDER = 'lock';

/** Locked by this process: the system's lock only keeps other processes out. */
const taken = new Set<string>();

/**
 * Keeps everybody else out of a data folder, from before anything in it is looked at until all of it is closed. Node has no
 * lock that ends with its process, but LevelDB has: an empty database in `lock/` is held open. (The lock of the state's own
 * database comes too late: whether that may be opened has to be seen first, and beside a replica that runs it looks damaged.)
 */
export class FolderLock {
  readonly #path: string;
  readonly #database: Level;

  /**
   * @param folder it must exist
   * @throws BalsaError `DATA_FOLDER_IN_USE`, `DATA_FOLDER_UNUSABLE`, `DISK_FULL`
   */
  static async take(folder: string): Promise<FolderLock> {
    const path = realpathSync(folder);
    if (taken.has(path)) {
      throw inUse(`this process already runs a replica on ${folder}`, folder);
    }
    taken.add(path);
    try {
      return new FolderLock(path, await openLock(folder));
    } catch (error) {
      taken.delete(path);
      throw error;
    }
  }

  private constructor(path: string, database: Level) {
    this.#path = path;
    this.#database = database;
  }

  async release(): Promise<void> {
    await this.#database.close();
    taken.delete(this.#path);
  }
}

async function openLock(folder: string): Promise<Level> {
  const place = join(folder, LOCK_FOLDER);
  const first = await tryToOpen(place);
  if (first instanceof Level) return first;
  if (first.code !== 'DATA_FOLDER_IN_USE') {
    // LevelDB locks before it reads, so nobody has it. There is nothing in it that could be lost; but its LOCK stays: another
    // process may have that open by now.
    await removeAllBut('LOCK', place);
    const second = await tryToOpen(place);
    if (second instanceof Level) return second;
    if (second.code !== 'DATA_FOLDER_IN_USE') throw second;
  }
  throw inUse(
    `another process uses ${folder}; stop it, or give this replica a folder of its own`,
    folder,
  );
}

/** @returns the open database, or why it cannot be opened */
async function tryToOpen(place: string): Promise<Level | BalsaError> {
  const database = new Level(place, { writeBufferSize: 64 * 1024, cacheSize: 64 * 1024 });
  try {
    await database.open();
    return database;
  } catch (error) {
    await database.close();
    return toLevelOpenError(error, place);
  }
}

async function removeAllBut(kept: string, place: string): Promise<void> {
  const names = await readdir(place).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw toLevelOpenError(error, place);
  });
  for (const name of names) {
    if (name !== kept) await rm(join(place, name), { recursive: true, force: true });
  }
}

function inUse(message: string, folder: string): BalsaError {
  return new BalsaError('DATA_FOLDER_IN_USE', message, { details: { file: folder } });
}
