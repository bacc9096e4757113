import { stat } from 'node:fs/promises';
import { BalsaError } from '../base/errors.js';

/** A file named on the command line that cannot be read, and why. */
export function fileUnreadable(path: string, cause: unknown): BalsaError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  // Node's messages are like "ENOENT: no such file or directory, open 'x'": the end says nothing new.
  const short = reason.replace(/, (open|read|stat)( '.*')?$/s, '');
  return new BalsaError('FILE_UNREADABLE', `${path}: ${short}`, { cause, details: { file: path } });
}

/** @throws BalsaError `FILE_UNREADABLE` */
export async function refuseMissing(file: string): Promise<void> {
  const found = await stat(file).catch((cause: unknown) => {
    throw fileUnreadable(file, cause);
  });
  if (!found.isFile()) throw new BalsaError('FILE_UNREADABLE', `${file} is no file`);
}
