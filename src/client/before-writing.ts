import { asBalsaError, type BalsaError } from '../base/errors.js';

/** The failure of what comes before a write: that was not made then. */
export function notApplied(cause: unknown): BalsaError {
  const error = asBalsaError(cause);
  return error.outcome === undefined ? error.withOutcome('not-applied') : error;
}

/**
 * What is read before something is written.
 * @throws BalsaError with the outcome of the write: `not-applied`
 */
export async function beforeWriting<T>(read: Promise<T>): Promise<T> {
  try {
    return await read;
  } catch (error) {
    throw notApplied(error);
  }
}
