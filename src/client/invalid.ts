import { isWellFormed } from '../base/bytes.js';
import { BalsaError } from '../base/errors.js';

/** @returns BalsaError `INVALID_ARGUMENT` */
export function invalid(message: string): BalsaError {
  return new BalsaError('INVALID_ARGUMENT', message, { outcome: 'not-applied' });
}

/** @throws BalsaError `INVALID_ARGUMENT` */
export function checkDuration(name: string, valueMs: unknown): void {
  if (typeof valueMs === 'number' && valueMs >= 0) return;
  throw invalid(`${name} must be a number of milliseconds from 0, found ${String(valueMs)}`);
}

/** @throws BalsaError `INVALID_ARGUMENT` */
export function checkRevision(revision: unknown): void {
  if (Number.isSafeInteger(revision) && (revision as number) >= 0) return;
  throw invalid(`revision must be a whole number from 0, found ${String(revision)}`);
}

/** A key, or a part of one, as it was given. @throws BalsaError `INVALID_ARGUMENT` */
export function keyBytes(name: string, key: unknown): Uint8Array {
  if (key instanceof Uint8Array) return key;
  if (typeof key !== 'string') {
    const found = key === null ? 'null' : typeof key;
    throw invalid(`${name} must be a string or a Uint8Array, found ${found}`);
  }
  if (isWellFormed(key)) return Buffer.from(key, 'utf8');
  throw invalid(`${name} is not well-formed Unicode: ${JSON.stringify(key.slice(0, 100))}`);
}
