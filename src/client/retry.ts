import type { BalsaError } from '../base/errors.js';
import type { Random } from '../base/random.js';

const FIRST_MS = 25;
const LONGEST_MS = 500;

/**
 * How long to wait after the `failures`-th failure in a row: not at all after the first, then 25 ms
 * doubling to 500 ms, shortened at random by up to half, so that clients that failed together do not
 * come back together.
 */
export function backoffMs(failures: number, random: Random): number {
  if (failures <= 1) return 0;
  const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures - 2, 16));
  return full * (0.5 + random.next() / 2);
}

/** What the replica asks to wait before the next try, in milliseconds. */
export function retryAfterMs(error: BalsaError): number {
  const asked = error.details.retryAfterMs;
  return typeof asked === 'number' && asked > 0 ? Math.min(asked, RETRY_AFTER_MS_MAX) : 0;
}

const RETRY_AFTER_MS_MAX = 10_000;

/** The leader that a `NOT_LEADER` error names. */
export function leaderNamed(error: BalsaError): string | null {
  const { leader } = error.details;
  return typeof leader === 'string' ? leader : null;
}
