import { BalsaError } from '../base/errors.js';

/** The state on disk holds what this code never wrote: the replica must stop. */
export function corrupt(found: string): BalsaError {
  return new BalsaError('STATE_CORRUPT', `the state on disk is damaged: it holds ${found}`);
}
