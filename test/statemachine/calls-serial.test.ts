import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CallWorld, type PlannedCall, type PlannedEntry } from './call-world.js';
import type { Action } from './naive-procedures.js';

/** `CALL_RUNS` sets the number of histories of a campaign. */
const { CALL_RUNS } = process.env;
const isCampaign = CALL_RUNS !== undefined;
const numRuns = Number(CALL_RUNS ?? 300);

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const value = fc.constantFrom('1', '20', '-3', '"text"', null);

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: fc.constant('get' as const), key }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('scan' as const),
      from: fc.constantFrom('', 'a', 'b', 'c', 'bb'),
      to: fc.constantFrom('b', 'c', 'd', null, null),
      limit: fc.constantFrom(0, 1, 2, 99, 99),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('put' as const),
      key: fc.oneof(key, fc.constant('bb')),
      text: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('delete' as const), key }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('update' as const),
      how: fc.constantFrom('add' as const, 'max' as const, 'absent' as const),
      key,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('emit' as const), name: fc.constantFrom('x', 'y') }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('skip' as const), count: fc.constantFrom(1, 2) }),
  },
  { weight: 1, arbitrary: fc.constant({ type: 'fail' as const }) },
);

const planned: fc.Arbitrary<PlannedCall> = fc.record({
  actions: fc.array(action, { minLength: 1, maxLength: 4 }),
  behind: fc.constantFrom(0, 0, 0, 1, 1, 2),
  // Most see all, or all but some.
  sees: fc.array(fc.constantFrom(true, true, true, true, false), { minLength: 5, maxLength: 5 }),
  retryOf: fc.option(fc.nat({ max: 20 }), { nil: null, freq: 8 }),
});

const entry: fc.Arbitrary<PlannedEntry> = fc.record({
  writes: fc.oneof(
    { weight: 2, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(fc.tuple(key, value), { minLength: 1, maxLength: 2 }) },
    // What a deletion leaves can be seen by its number alone.
    { weight: 1, arbitrary: fc.tuple(fc.tuple(key, fc.constant(null))) },
  ),
  calls: fc.array(planned, { maxLength: 5 }),
});

const entries = fc.array(entry, { minLength: 1, maxLength: 8, size: 'max' });

/** What so many histories come across with a chance that is as good as one. */
const REACHED = [
  ...['applied', 'applied on pending', 'applied with an old range', 'rejected'],
  ...['rejected with one before', 'rejected with the same values', 'repeated'],
  ...['applied on a pending range', 'blocked', 'PROCEDURE_ABORTED', 'PROCEDURE_FAILED'],
];

describe('calls of any procedures', () => {
  test(
    'that are applied would do the same if they ran one after the other in the order of the log',
    async () => {
      const seen = new Map<string, number>();
      await fc.assert(
        fc.asyncProperty(entries, fc.nat(), async (history, place) => {
          const world = await CallWorld.start();
          await world.run(history);
          await world.restart(place);
          for (const [what, count] of world.seen) seen.set(what, (seen.get(what) ?? 0) + count);
        }),
        { numRuns },
      );
      if (isCampaign) console.log(seen);
      for (const what of REACHED) expect(seen.get(what) ?? 0, what).toBeGreaterThan(0);
    },
    isCampaign ? 4 * 3_600_000 : 120_000,
  );
});
