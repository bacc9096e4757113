import type { BalsaError } from '../base/errors.js';
import type { Random } from '../base/random.js';

const FIRST_MS = 25;
const LONGEST_MS = 500;
const PATIENT_MS_MAX = 5000;

/**
 * How long to wait after the `failures`-th failure in a row: not at all after the first, then 25 ms
 * doubling to `longestMs` (500 ms), shortened at random by up to half, so that clients that failed together do not
 * come back together.
 */
export function backoffMs(failures: number, random: Random, longestMs = LONGEST_MS): number {
  if (failures <= 1) return 0;
  const full = Math.min(longestMs, FIRST_MS * 2 ** Math.min(failures - 2, 16));
  return full * (0.5 + random.next() / 2);
}

/**
 * For what has been silent for so long: a tenth of that, so that it is hardly noticed later that it is back, and at least
 * `shortestMs` and at most 5 s. Many clients that go on trying fast are a load under which nothing may come back
 * (Bronson et al., "Metastable Failures in Distributed Systems", HotOS 2021).
 */
export function patienceMs(silentMs: number, shortestMs = LONGEST_MS): number {
  return Math.max(shortestMs, Math.min(PATIENT_MS_MAX, silentMs / 10));
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

/** The replica that refused has nobody to send the caller to. */
export function knowsNoLeader(error: BalsaError): boolean {
  return error.code === 'NOT_LEADER' && leaderNamed(error) === null;
}
