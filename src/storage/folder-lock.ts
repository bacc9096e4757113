import { realpathSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Level } from 'level';
import type { BalsaError } from '../base/errors.js';
import { toFolderError } from './disk-error.js';
import { folderInUse, toLevelOpenError } from './level-errors.js';

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
      throw folderInUse(folder, { by: 'this process already runs a replica on' });
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
  let opened = await tryToOpen(place);
  if (!(opened instanceof Level) && opened.code === 'STATE_CORRUPT') {
    // LevelDB locks before it reads, so nobody has it. There is nothing in it that could be lost; but its LOCK stays: another
    // process may have that open by now.
    await removeAllBut('LOCK', place);
    opened = await tryToOpen(place);
  }
  if (opened instanceof Level) return opened;
  switch (opened.code) {
    case 'DATA_FOLDER_IN_USE':
      throw folderInUse(folder, { by: 'another process uses' });
    // No state is damaged.
    case 'STATE_CORRUPT':
      throw toFolderError(opened.cause, place);
    default:
      throw opened;
  }
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
  try {
    for (const name of await readdir(place)) {
      if (name !== kept) await rm(join(place, name), { recursive: true, force: true });
    }
  } catch (error) {
    throw toFolderError(error, place);
  }
}
