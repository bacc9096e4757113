import { crc32 } from '../base/checksum.js';
import { BalsaError } from '../base/errors.js';
import type { LogPosition } from '../raft/types.js';
import type { Files } from './files.js';

/** A small file that says which of the folders beside it is the state. */
export const POINTER_FILE = 'state.json';

const FORMAT = 1;

export interface StatePointer {
  /** Name of the folder. */
  readonly folder: string;
  /** The snapshot with which it began. */
  readonly installed: LogPosition | null;
}

/**
 * `null` when there is none.
 * @throws BalsaError `STATE_CORRUPT`, `VERSION_UNSUPPORTED`
 */
export function readPointer(files: Files, dataFolder: string): StatePointer | null {
  const path = `${dataFolder}/${POINTER_FILE}`;
  if (!files.exists(path)) return null;
  const pointer = parse(files.readWhole(path).toString('utf8'));
  if (pointer === null) throw pointerCorrupt(path, 'is not what was written');
  if (pointer.format > FORMAT) {
    throw new BalsaError(
      'VERSION_UNSUPPORTED',
      `${path} has format ${pointer.format}, this version knows ${FORMAT}; start the version that wrote it`,
      { details: { file: path } },
    );
  }
  return pointer;
}

/** Durable when it returns, and whole whatever happens in between: a new file takes the old one's place. */
export function writePointer(files: Files, dataFolder: string, pointer: StatePointer): void {
  const path = `${dataFolder}/${POINTER_FILE}`;
  const fresh = `${path}.new`;
  if (files.exists(fresh)) files.remove(fresh);
  const file = files.open(fresh);
  file.writeAt(0, [Buffer.from(format(pointer))]);
  file.sync();
  file.close();
  files.rename(fresh, path);
  files.syncFolder(dataFolder);
}

/** It is not known which folder is the state: none of them alone can be blamed. */
export function pointerCorrupt(path: string, problem: string): BalsaError {
  return new BalsaError(
    'STATE_CORRUPT',
    `${path} ${problem}, and nothing else says which of the folders beside it (state-1, state-2, ...) is the state. Put the` +
      ' file back from a copy. If the log in the same data folder still begins at entry 1, move it and these folders away: the' +
      ' state is made again from the log. Otherwise empty the data folder and let the replica join again as a new member',
    { details: { file: path } },
  );
}

function format({ folder, installed }: StatePointer): string {
  const facts = JSON.stringify({ format: FORMAT, folder, installed });
  return `${JSON.stringify({ facts, checksum: crc32(Buffer.from(facts)) })}\n`;
}

function parse(text: string): (StatePointer & { readonly format: number }) | null {
  try {
    const { facts, checksum } = JSON.parse(text);
    if (typeof facts !== 'string' || crc32(Buffer.from(facts)) !== checksum) return null;
    return JSON.parse(facts);
  } catch {
    return null;
  }
}
