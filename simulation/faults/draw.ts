import fc from 'fast-check';
import { LEADER } from './fault.js';

/** A machine; the leader more often than its share. */
export const who = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 6 }) },
  { weight: 2, arbitrary: fc.constant(LEADER) },
);

/** For how long, mostly short. */
export const forMs = (longestMs: number): fc.Arbitrary<number> =>
  fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 20, max: Math.ceil(longestMs / 5) }) },
    { weight: 1, arbitrary: fc.integer({ min: 20, max: longestMs }) },
  );

export const downMs = forMs(8000);
