import { BalsaError } from './errors.js';

/**
 * Stops the replica when `condition` is false. Assertions stay on in production: a database that
 * goes on with a broken invariant writes it to disk.
 * @throws BalsaError `INVARIANT`
 */
export function assert(condition: unknown, invariant: string): asserts condition {
  if (!condition) throw new BalsaError('INVARIANT', `broken invariant: ${invariant}`);
}

/** The end of a `switch` over a union: a compile error when a member is missing. */
export function unreachable(value: never): never {
  throw new BalsaError('INVARIANT', `unexpected value: ${String(JSON.stringify(value))}`);
}
