import { BalsaError } from '../base/errors.js';
import { withChecksum, withoutChecksum } from './value-checksum.js';

/**
 * Every batch that goes to LevelDB carries a marker: its number, and the log index whose state it
 * makes. The last one says which state is on disk. That no number is missing says that it is whole:
 * after a power failure LevelDB itself would go on behind a batch that it cannot read.
 *
 * Markers lie under the first byte 0, which is reserved: `0 number(8, big-endian)` -> `index(8)
 * checksum(4)`.
 */
export const RESERVED_BYTE = 0;
export const MARKERS_FROM: Uint8Array = Uint8Array.of(RESERVED_BYTE);
export const MARKERS_TO: Uint8Array = Uint8Array.of(RESERVED_BYTE + 1);

export function markerKey(number: number): Buffer {
  const key = Buffer.alloc(9);
  key.writeUInt8(RESERVED_BYTE);
  key.writeBigUInt64BE(BigInt(number), 1);
  return key;
}

/** With the checksum that all values have. */
export function markerValue(number: number, index: number): Buffer {
  const value = Buffer.alloc(8);
  value.writeBigUInt64BE(BigInt(index));
  return withChecksum(markerKey(number), value);
}

export interface MarkersFound {
  readonly first: number;
  /** 0 when there are none. */
  readonly last: number;
  readonly index: number;
}

/**
 * Checks the markers, which come in order.
 * @throws BalsaError `STATE_CORRUPT` when a batch is missing
 */
export function checkMarkers(
  markers: readonly (readonly [Buffer, Buffer])[],
  folder: string,
): MarkersFound {
  let first = 0;
  let last = 0;
  let index = 0;
  for (const [key, value] of markers) {
    const number = key.length === 9 ? Number(key.readBigUInt64BE(1)) : -1;
    if ((last !== 0 && number !== last + 1) || number < 1) {
      throw stateCorrupt(folder, `batch ${last + 1} of what was written is missing`, null);
    }
    if (first === 0) first = number;
    last = number;
    index = lastMarker([key, value], folder);
  }
  return { first, last, index };
}

/**
 * The log index that a marker names.
 * @throws BalsaError `STATE_CORRUPT`
 */
export function lastMarker([key, stored]: readonly [Buffer, Buffer], folder: string): number {
  const value = withoutChecksum(key, stored);
  if (value?.length !== 8) throw stateCorrupt(folder, 'a marker is not what was written', null);
  return Number(value.readBigUInt64BE());
}

export function stateCorrupt(folder: string, problem: string, cause: unknown): BalsaError {
  return new BalsaError(
    'STATE_CORRUPT',
    `the state in ${folder} is damaged: ${problem}. If the log in the same data folder still begins ` +
      'at entry 1, move this folder away: it is made again from the log. Otherwise empty the data ' +
      'folder and let the replica join again as a new member',
    { cause, details: { folder } },
  );
}
