import { BalsaError } from '../base/errors.js';
import { toDiskError, toFolderError } from './disk-error.js';
import { stateCorrupt } from './flush-markers.js';

/** LevelDB's error of opening, in our terms: each names the folder and what to try. */
export function toLevelOpenError(error: unknown, folder: string): BalsaError {
  if (error instanceof BalsaError) return error;
  const cause = rootCause(error);
  const { code, message } = cause;
  if (code === 'LEVEL_LOCKED') {
    return folderInUse(folder, { by: 'another process uses', cause });
  }
  if (code === 'LEVEL_CORRUPTION') return stateCorrupt(folder, message, cause);
  // The folder was made before, so it is one of the database's own files that is missing.
  if (/missing files|Invalid argument|No such file/i.test(message))
    return stateCorrupt(folder, message, cause);
  return toFolderError(withErrno(cause), folder);
}

/** @param who.by who uses it, with the verb */
export function folderInUse(
  folder: string,
  { by, cause }: { readonly by: string; readonly cause?: Error },
): BalsaError {
  return new BalsaError(
    'DATA_FOLDER_IN_USE',
    `${by} ${folder}; stop it, or give this replica a folder of its own`,
    { ...(cause !== undefined && { cause }), details: { folder } },
  );
}

/** Of an open database that fails to read or write. */
export function toLevelError(error: unknown, folder: string): BalsaError {
  if (error instanceof BalsaError) return error;
  const cause = rootCause(error);
  if (cause.code === 'LEVEL_CORRUPTION') return stateCorrupt(folder, cause.message, cause);
  return toDiskError(withErrno(cause), folder);
}

function rootCause(error: unknown): NodeJS.ErrnoException {
  let cause = error;
  while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause;
  return cause instanceof Error ? cause : new Error(String(cause));
}

/** LevelDB tells what the system said in words only. */
const ERRNOS: readonly (readonly [code: string, words: RegExp])[] = [
  ['ENOSPC', /No space left|quota exceeded/i],
  ['EIO', /Input\/output error|I\/O error/i],
];

function withErrno(cause: NodeJS.ErrnoException): NodeJS.ErrnoException {
  const code = ERRNOS.find(([, words]) => words.test(cause.message))?.[0];
  if (code === undefined) return cause;
  return Object.assign(new Error(cause.message, { cause }), { code });
}
