import { mkdtemp, open, rm, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { BalsaError } from '../base/errors.js';
import { openDatabase } from './level-database.js';

/** What stands in the name of the database of our own, which lies beside the folder: there is surely room and leave to write. */
export const LOCKING = '.locking-';

/**
 * Does something while no process has the LevelDB in `folder` open, without opening it. LevelDB locks the
 * file LOCK; a database of our own, whose LOCK is a link to it, has the same lock.
 * @throws BalsaError `DATA_FOLDER_IN_USE`
 */
export async function whileLocked<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const lock = resolve(folder, 'LOCK');
  const beside = await mkdtemp(`${resolve(folder)}${LOCKING}`);
  try {
    await (await open(lock, 'a')).close();
    await symlink(lock, join(beside, 'LOCK'));
    const database = await openDatabase(beside).catch((error: unknown) => {
      throw inUse(error, folder);
    });
    try {
      return await work();
    } finally {
      await database.close();
    }
  } finally {
    await rm(beside, { recursive: true, force: true });
  }
}

function inUse(error: unknown, folder: string): unknown {
  if (!(error instanceof BalsaError) || error.code !== 'DATA_FOLDER_IN_USE') return error;
  return new BalsaError(
    'DATA_FOLDER_IN_USE',
    `another process uses ${folder}; stop it, or give this replica a folder of its own`,
    { cause: error, details: { folder } },
  );
}
