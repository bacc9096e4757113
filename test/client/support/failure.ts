import { BalsaError } from '../../../src/base/errors.js';

/** What the promise fails with; `null`: it does not. */
export function settled(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => null,
    (error: unknown) => error,
  );
}

export function errorOf(failure: unknown): BalsaError {
  if (failure instanceof BalsaError) return failure;
  throw new Error(`expected a BalsaError, got ${String(failure)}`);
}
