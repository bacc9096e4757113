import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Action,
  isPossible,
  isUnknown,
  leaves,
  type RegisterOperation,
} from '../../jepsen-like/checkers/register/register-operation.js';
import { searchOrder } from '../../jepsen-like/checkers/register/search.js';
import { smallestPart, without } from '../../jepsen-like/checkers/register/smallest.js';

const NEVER = Number.POSITIVE_INFINITY;
const action = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), value: fc.integer({ min: 0, max: 3 }) }),
  fc.record({ kind: fc.constant('get' as const), value: fc.integer({ min: 0, max: 3 }) }),
  fc.record({
    kind: fc.constant('cas' as const),
    old: fc.integer({ min: 0, max: 3 }),
    value: fc.integer({ min: 0, max: 3 }),
  }),
  fc.record({ kind: fc.constant('refused' as const), old: fc.integer({ min: 0, max: 3 }) }),
  fc.record({
    kind: fc.constant('delete' as const),
    found: fc.constantFrom(true, false, null),
  }),
);

/** Any history in which no more than so much happens, through this time. */
function anyHistoryOf(most: { operations: number; time: number; length: number }) {
  return fc
    .array(
      fc.record({
        begin: fc.integer({ min: 0, max: most.time }),
        length: fc.integer({ min: 0, max: most.length }),
        action,
        isKnown: fc.integer({ min: 0, max: 3 }).map((n) => n > 0),
      }),
      { maxLength: most.operations },
    )
    .map((plans) =>
      plans.map(({ begin, length, action, isKnown }, line): RegisterOperation => {
        const mayBeUnknown = leaves(action) !== null || action.kind === 'delete';
        if (isKnown || !mayBeUnknown) return { action, begin, end: begin + length, line };
        const unknown: Action = action.kind === 'delete' ? { kind: 'delete', found: null } : action;
        return { action: unknown, begin, end: NEVER, line };
      }),
    );
}

/** Of few values and much at once: about half of them are impossible. */
const anyHistory = anyHistoryOf({ operations: 7, time: 10, length: 5 });
/** Nearly all of it is at once. */
const crowdedHistory = anyHistoryOf({ operations: 8, time: 3, length: 2 });

/** The definition itself: some operation comes first, and so on; those of unknown outcome may stay out. */
function tryAll(left: readonly RegisterOperation[], value: number): boolean {
  if (left.every(isUnknown)) return true;
  const firstEnd = Math.min(...left.map(({ end }) => end));
  return left.some((one) => {
    if (one.begin > firstEnd || !isPossible(one.action, value)) return false;
    const rest = left.filter((other) => other !== one);
    return tryAll(rest, leaves(one.action) ?? value);
  });
}

describe('the search for an order of the operations on a register', () => {
  test('agrees with trying out every order', () => {
    let impossible = 0;
    fc.assert(
      fc.property(fc.oneof(anyHistory, crowdedHistory), (history) => {
        const expected = tryAll(history, 0) ? 'possible' : 'impossible';
        if (expected === 'impossible') impossible += 1;
        expect(searchOrder(history).type).toBe(expected);
      }),
      { numRuns: 3000 },
    );
    expect(impossible).toBeGreaterThan(250);
  });

  test.each<{ name: string; plans: [Action, begin: number, end: number][] }>([
    {
      name: 'a compare-and-set',
      plans: [
        [{ kind: 'cas', old: 0, value: 3 }, 0, 1],
        [{ kind: 'delete', found: null }, 0, NEVER],
        [{ kind: 'put', value: 1 }, 1, 1],
        [{ kind: 'get', value: 3 }, 2, 2],
      ],
    },
    {
      name: 'a compare-and-set of unknown outcome',
      plans: [
        [{ kind: 'delete', found: null }, 0, NEVER],
        [{ kind: 'cas', old: 3, value: 1 }, 0, NEVER],
        [{ kind: 'cas', old: 0, value: 3 }, 0, 0],
        [{ kind: 'get', value: 1 }, 1, 1],
        [{ kind: 'put', value: 2 }, 0, 0],
      ],
    },
  ])(
    'a write of unknown outcome wipes away a put, though it leaves what was there before, in front of $name',
    ({ plans }) => {
      const history = plans.map(([action, begin, end], line) => ({ action, begin, end, line }));
      expect(tryAll(history, 0)).toBe(true);
      expect(searchOrder(history).type).toBe('possible');
    },
  );

  test('leaves out parts of a possible history without making a contradiction', () => {
    fc.assert(
      fc.property(anyHistory, fc.array(fc.boolean(), { maxLength: 7 }), (history, drops) => {
        fc.pre(tryAll(history, 0));
        const left = without(history, new Set(history.filter((_, at) => drops[at] === true)));
        expect(tryAll(left, 0)).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  test('leaves out a refusal with the write that it may have been due to', () => {
    const operation = (action: Action, begin: number): RegisterOperation => ({
      action,
      begin,
      end: begin + 1,
      line: begin,
    });
    const cause = operation({ kind: 'put', value: 2 }, 0);
    const history = [
      cause,
      operation({ kind: 'refused', old: 0 }, 2),
      operation({ kind: 'put', value: 3 }, 4),
      operation({ kind: 'refused', old: 1 }, 6),
      operation({ kind: 'get', value: 3 }, 8),
    ];
    expect(tryAll(history, 0)).toBe(true);
    expect(tryAll(without(history, new Set([cause])), 0)).toBe(true);
  });

  test('finds a part of an impossible history that is impossible by itself', () => {
    fc.assert(
      fc.property(anyHistory, (history) => {
        fc.pre(!tryAll(history, 0));
        const part = smallestPart(history);
        expect(tryAll(part, 0)).toBe(false);
        expect(part.length).toBeLessThanOrEqual(history.length);
      }),
      { numRuns: 1000 },
    );
  });
});
