import { BalsaError } from '../base/errors.js';

/**
 * A failed read, write or sync as the error that stops the replica: `DISK_FULL` when there was no space,
 * else `DISK_FAILED`. Names the file.
 */
export function toDiskError(cause: unknown, file: string): BalsaError {
  if (cause instanceof BalsaError) return cause;
  const { code } = cause as NodeJS.ErrnoException;
  const details = { file, cause: code };
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new BalsaError(
      'DISK_FULL',
      `no space left to write ${file} (${code}); free some and start the replica again`,
      { cause, details },
    );
  }
  const message = cause instanceof Error ? cause.message : String(cause);
  return new BalsaError(
    'DISK_FAILED',
    `the disk failed to read, write or sync ${file} (${message}); nothing was retried. ` +
      'Check the disk (dmesg, smartctl), then start the replica again',
    { cause, details },
  );
}

/** A folder that cannot be made, read or written at start. */
export function toFolderError(cause: unknown, folder: string): BalsaError {
  if (cause instanceof BalsaError) return cause;
  const { code } = cause as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT') return toDiskError(cause, folder);
  if (code === 'EIO') return toDiskError(cause, folder);
  const message = cause instanceof Error ? cause.message : String(cause);
  return new BalsaError(
    'DATA_FOLDER_UNUSABLE',
    `the folder ${folder} cannot be used (${message}); check that it is a folder and that this ` +
      'user may read and write it, or choose another one',
    { cause, details: { folder, cause: code } },
  );
}
