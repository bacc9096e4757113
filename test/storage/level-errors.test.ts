import { expect, test } from 'vitest';
import { toLevelOpenError } from '../../src/storage/level-errors.js';

const FOLDER = '/data/state-1';

/** As `level` hands it on: what the system said is in the message of the cause. */
function openFailure(said: string): Error {
  const message = `IO error: ${FOLDER}/000005.log: ${said}`;
  const cause = Object.assign(new Error(message), { code: 'LEVEL_IO_ERROR' });
  const error = new Error('Database failed to open', { cause });
  return Object.assign(error, { code: 'LEVEL_DATABASE_NOT_OPEN' });
}

test.each([
  ['Input/output error', 'DISK_FAILED', /Check the disk/],
  ['No space left on device', 'DISK_FULL', /free some/],
  ['Disk quota exceeded', 'DISK_FULL', /free some/],
  ['Permission denied', 'DATA_FOLDER_UNUSABLE', /may read and write it/],
  ['Read-only file system', 'DATA_FOLDER_UNUSABLE', /may read and write it/],
  ['Too many open files', 'DATA_FOLDER_UNUSABLE', /Too many open files/],
  ['No such file or directory', 'STATE_CORRUPT', /is damaged/],
])('an opening that ends with "%s" is %s', (said, code, message) => {
  const error = toLevelOpenError(openFailure(said), FOLDER);
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
  expect(error.message).toContain(FOLDER);
});
