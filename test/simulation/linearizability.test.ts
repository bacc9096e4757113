import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Call, checkRegister, type Operation } from './linearizability.js';

const op = (client: string, beginMs: number, endMs: number, call: Call): Operation => ({
  client,
  call,
  beginMs,
  endMs,
});
const put = (value: string): Call => ({ type: 'put', value });
const get = (value: string | null): Call => ({ type: 'get', value });
const del = (found: boolean | null): Call => ({ type: 'delete', found });
const NEVER = Number.POSITIVE_INFINITY;
const verdict = (...operations: Operation[]) => checkRegister(operations).type;

describe('the linearizability oracle accepts', () => {
  test('an empty history, and reads of nothing', () => {
    expect(verdict()).toBe('linearizable');
    expect(verdict(op('a', 0, 1, get(null)))).toBe('linearizable');
  });

  test('calls one after the other', () => {
    expect(
      verdict(
        op('a', 0, 1, put('x')),
        op('b', 2, 3, get('x')),
        op('a', 4, 5, del(true)),
        op('b', 6, 7, get(null)),
        op('b', 8, 9, del(false)),
      ),
    ).toBe('linearizable');
  });

  test('calls at once that took effect in either order', () => {
    expect(
      verdict(op('a', 0, 10, put('x')), op('b', 1, 9, put('y')), op('c', 11, 12, get('x'))),
    ).toBe('linearizable');
    expect(
      verdict(op('a', 0, 10, put('x')), op('b', 1, 2, get('x')), op('c', 1, 3, get('x'))),
    ).toBe('linearizable');
  });

  test('a write of unknown outcome that takes effect late, or never', () => {
    expect(
      verdict(op('a', 0, NEVER, put('x')), op('b', 5, 6, get(null)), op('b', 7, 8, get('x'))),
    ).toBe('linearizable');
    expect(verdict(op('a', 0, NEVER, put('x')), op('b', 5, 6, get(null)))).toBe('linearizable');
    expect(
      verdict(op('a', 0, 1, put('x')), op('b', 0, NEVER, del(null)), op('c', 9, 10, get(null))),
    ).toBe('linearizable');
    expect(
      verdict(op('a', 0, 1, put('x')), op('b', 0, NEVER, del(null)), op('c', 9, 10, get('x'))),
    ).toBe('linearizable');
  });

  test('an unseen write of unknown outcome that a delete has found', () => {
    expect(verdict(op('a', 0, NEVER, put('x')), op('b', 2, 3, del(true)))).toBe('linearizable');
  });
});

describe('the linearizability oracle refuses', () => {
  test('a stale read, and shows the calls that contradict each other', () => {
    const stale = checkRegister([
      op('a', 0, 1, put('x')),
      op('c', 0, 20, put('unrelated')),
      op('a', 2, 3, put('y')),
      op('b', 4, 5, get('y')),
      op('b', 6, 7, get('x')),
    ]);
    expect(stale.type).toBe('impossible');
    if (stale.type !== 'impossible') return;
    expect(stale.core.map(({ call }) => call)).toEqual([put('x'), put('y'), get('x')]);
  });

  test('a lost write', () => {
    expect(verdict(op('a', 0, 1, put('x')), op('b', 2, 3, get(null)))).toBe('impossible');
  });

  test('a value that nobody wrote, or nobody yet', () => {
    expect(verdict(op('a', 0, 1, get('ghost')))).toBe('impossible');
    expect(verdict(op('a', 0, 1, get('x')), op('b', 2, 3, put('x')))).toBe('impossible');
  });

  test('reads that see two writes in different orders', () => {
    expect(
      verdict(
        op('a', 0, 10, put('x')),
        op('b', 0, 10, put('y')),
        op('c', 11, 12, get('x')),
        op('d', 13, 14, get('y')),
      ),
    ).toBe('impossible');
  });

  test('a write of unknown outcome that is undone by nobody', () => {
    expect(
      verdict(op('a', 0, NEVER, put('x')), op('b', 1, 2, get('x')), op('b', 3, 4, get(null))),
    ).toBe('impossible');
  });

  test('a delete that finds what is not there', () => {
    expect(verdict(op('a', 0, 1, del(true)))).toBe('impossible');
    expect(verdict(op('a', 0, 1, put('x')), op('a', 2, 3, del(false)))).toBe('impossible');
  });
});

/** A run of a true register: each call takes effect at one moment within its time. */
const trueHistory = fc
  .array(
    fc.record({
      beginMs: fc.integer({ min: 0, max: 40 }),
      beforeMs: fc.integer({ min: 0, max: 10 }),
      afterMs: fc.integer({ min: 0, max: 10 }),
      kind: fc.constantFrom('put', 'get', 'delete'),
      isKnown: fc.integer({ min: 0, max: 4 }).map((n) => n > 0),
    }),
    { maxLength: 14 },
  )
  .map((plans) => {
    const inOrder = plans
      .map((plan, i) => ({ ...plan, i, atMs: plan.beginMs + plan.beforeMs + i / 1000 }))
      .sort((a, b) => a.atMs - b.atMs);
    let value: string | null = null;
    return inOrder.map(({ i, kind, beginMs, atMs, afterMs, isKnown }): Operation => {
      const endMs = isKnown ? atMs + afterMs : NEVER;
      if (kind === 'put') {
        value = `v${i}`;
        return op(`c${i}`, beginMs, endMs, put(value));
      }
      if (kind === 'get') return op(`c${i}`, beginMs, atMs + afterMs, get(value));
      const found = value !== null;
      value = null;
      return op(`c${i}`, beginMs, endMs, del(isKnown ? found : null));
    });
  });

describe('the linearizability oracle, against histories made at random', () => {
  test('accepts every run of a true register', () => {
    fc.assert(
      fc.property(trueHistory, (history) => {
        expect(checkRegister(history).type).toBe('linearizable');
      }),
      { numRuns: 500 },
    );
  });

  test('agrees with trying out every order', () => {
    const anyHistory = fc.array(
      fc.record({
        beginMs: fc.integer({ min: 0, max: 6 }),
        lengthMs: fc.integer({ min: 0, max: 3 }),
        call: fc.oneof(
          fc.constantFrom(put('x'), put('y')),
          fc.constantFrom(get('x'), get('y'), get(null)),
          fc.constantFrom(del(true), del(false)),
        ),
        isKnown: fc.integer({ min: 0, max: 3 }).map((n) => n > 0),
      }),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(anyHistory, (plans) => {
        const history = plans.map(({ beginMs, lengthMs, call, isKnown }, i) => {
          const unknown = call.type === 'delete' ? del(null) : call;
          const known = isKnown || call.type === 'get';
          return op(`c${i}`, beginMs, known ? beginMs + lengthMs : NEVER, known ? call : unknown);
        });
        expect(checkRegister(history).type === 'linearizable').toBe(tryAll(history, null));
      }),
      { numRuns: 2000 },
    );
  });
});

/** The definition itself: some operation comes first, and so on; those of unknown outcome may stay out. */
function tryAll(left: readonly Operation[], value: string | null): boolean {
  if (left.every(({ endMs }) => endMs === NEVER)) return true;
  const firstEndMs = Math.min(...left.map(({ endMs }) => endMs));
  return left.some((candidate) => {
    if (candidate.beginMs > firstEndMs) return false;
    const { call } = candidate;
    const rest = left.filter((other) => other !== candidate);
    if (call.type === 'put') return tryAll(rest, call.value);
    if (call.type === 'get') return call.value === value && tryAll(rest, value);
    if (call.found !== null && call.found !== (value !== null)) return false;
    return tryAll(rest, null);
  });
}
