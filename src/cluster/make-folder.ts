import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { BalsaError } from '../base/errors.js';

/**
 * Creates the folder and its parents; what exists stays. (Node's own recursive way never ends below
 * /proc and the like, where a folder can be neither found nor made.)
 *
 * @throws BalsaError `DATA_FOLDER_UNUSABLE`
 */
export function makeFolder(path: string): void {
  if (existsSync(path)) return;
  if (dirname(path) !== path) makeFolder(dirname(path));
  try {
    mkdirSync(path);
  } catch (cause) {
    throw new BalsaError(
      'DATA_FOLDER_UNUSABLE',
      `cannot create the folder ${path}: ${(cause as Error).message}`,
      { cause, details: { file: path } },
    );
  }
}
