import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CALL_KEY_BYTES_MAX } from '../../src/base/call.js';
import { pack, unpack } from '../../src/base/codec.js';
import { packDelta, unpackDelta } from '../../src/base/delta-codec.js';
import { BalsaError } from '../../src/base/errors.js';
import { anyDelta, smallDelta } from './delta-helpers.js';

const ORIGIN = '0123456789abcdef';
const WHOLE = smallDelta(ORIGIN, 7);

const FIELDS = [
  ...(['origin', 'sequence', 'timeMs', 'count', 'key', 'flags', 'fingerprint'] as const),
  ...(['procedure', 'hash', 'writes', 'result'] as const),
];

/** The bytes of {@link WHOLE} with another value in the place of one field. */
function withField(field: (typeof FIELDS)[number], value: unknown): Buffer {
  const tuple = unpack(packDelta(WHOLE)) as unknown[];
  expect(tuple).toHaveLength(FIELDS.length);
  return pack(tuple.with(FIELDS.indexOf(field), value));
}

/** What becomes of bytes: a delta, or why not. */
function fateOf(data: Uint8Array): 'delta' | string {
  try {
    unpackDelta(data);
    return 'delta';
  } catch (error) {
    return error instanceof BalsaError ? error.code : String(error);
  }
}

describe('a delta as bytes', () => {
  test('comes out as it went in', () => {
    fc.assert(
      fc.property(anyDelta, (delta) => {
        const bytes = packDelta(delta);
        expect(unpackDelta(bytes)).toEqual(delta);
        expect(packDelta(unpackDelta(bytes)).equals(bytes)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  test('takes few bytes', () => {
    expect(packDelta(WHOLE).byteLength).toBeLessThan(140);
  });

  test('may carry fields that this version does not know', () => {
    const tuple = unpack(packDelta(WHOLE)) as unknown[];
    expect(unpackDelta(pack([...tuple, 'newer']))).toEqual(WHOLE);
  });

  test('lacks no field', () => {
    const tuple = unpack(packDelta(WHOLE)) as unknown[];
    for (let length = 0; length < tuple.length; length += 1) {
      expect(fateOf(pack(tuple.slice(0, length)))).toBe('FRAME_INVALID');
    }
  });

  test('is not made with an origin that is none', () => {
    for (const origin of ['', 'n1', ORIGIN.toUpperCase(), `${ORIGIN}00`, ORIGIN.slice(1)]) {
      expect(() => packDelta({ ...WHOLE, origin }), origin).toThrow(
        expect.objectContaining({ code: 'INVARIANT' }),
      );
    }
  });

  const to = Buffer.alloc(8, 1);
  test.each([
    ['origin', ORIGIN],
    ['origin', Buffer.alloc(7)],
    ['origin', Buffer.alloc(9)],
    ['sequence', 0],
    ['sequence', -1],
    ['sequence', 1.5],
    ['sequence', 2 ** 53],
    ['sequence', '1'],
    ['timeMs', -1],
    ['timeMs', 0.5],
    ['timeMs', null],
    ['count', -1],
    ['count', Number.POSITIVE_INFINITY],
    ['key', 'text'],
    ['key', Buffer.alloc(0)],
    ['key', Buffer.alloc(CALL_KEY_BYTES_MAX + 1)],
    ['flags', -1],
    ['flags', null],
    ['fingerprint', Buffer.alloc(7)],
    ['fingerprint', Buffer.alloc(9)],
    ['fingerprint', 'eight by'],
    ['procedure', to],
    ['procedure', null],
    ['hash', 'ab'.repeat(32)],
    ['hash', Buffer.alloc(31)],
    ['hash', Buffer.alloc(33)],
    ['result', to],
    ['result', null],
    ['writes', null],
    ['writes', []],
    ['writes', [7]],
    ['writes', [['key', 0]]],
    ['writes', [[to, 0, 1]]],
    ['writes', [['key', '0', 1]]],
    ['writes', [['key', -1, 1]]],
    ['writes', [['key', 11, 'a', [], []]]],
    ['writes', [['key', 0, 1.5]]],
    ['writes', [['key', 0, 2 ** 53]]],
    ['writes', [['key', 0, Number.NaN]]],
    ['writes', [['key', 0, null]]],
    ['writes', [['key', 1, 0]]],
    ['writes', [['key', 1, -1]]],
    ['writes', [['key', 2, 0]]],
    ['writes', [['key', 2, 0.5]]],
    ['writes', [['key', 3, 0, to]]],
    ['writes', [['key', 3, 1]]],
    ['writes', [['key', 3, 1, ORIGIN]]],
    ['writes', [['key', 3, 1, Buffer.alloc(7)]]],
    ['writes', [['key', 4, 'item']]],
    ['writes', [['key', 4, 7, []]]],
    ['writes', [['key', 4, 'item', 'tag']]],
    ['writes', [['key', 5, 'item', [1]]]],
    ['writes', [['key', 6, 'field', 'value']]],
    ['writes', [['key', 6, 'field', 7, []]]],
    ['writes', [['key', 6, 7, 'value', []]]],
    ['writes', [['key', 7, 'field', [null]]]],
    ['writes', [['key', 7, null, []]]],
    ['writes', [['key', 8, 7]]],
    ['writes', [['key', 9, 'value']]],
    ['writes', [['key', 9, 7, []]]],
    ['writes', [['key', 10, to]]],
    ['writes', [['key', 0, 1], null]],
  ] as const)('with another %s is refused (%#)', (field, value) => {
    expect(fateOf(withField(field, value))).toBe('FRAME_INVALID');
  });

  test.each([
    ['no msgpack', Buffer.of(0xc1)],
    ['nothing', Buffer.alloc(0)],
    ['no tuple', pack({ key: 1 })],
    ['a number', pack(7)],
    ['lists without end', Buffer.alloc(100_000, 0x91)],
  ])('that are %s are refused', (_what, data) => {
    expect(fateOf(data)).toBe('FRAME_INVALID');
  });

  test('that were damaged are a delta or refused, and nothing else', () => {
    const change = fc.record({ at: fc.nat(), to: fc.integer({ min: 0, max: 255 }) });
    const seen = new Set<string>();
    fc.assert(
      fc.property(
        anyDelta,
        fc.array(change, { minLength: 1, maxLength: 3 }),
        fc.option(fc.nat(), { nil: null }),
        (delta, changes, cut) => {
          const whole = packDelta(delta);
          const damaged = Buffer.from(cut === null ? whole : whole.subarray(0, cut % whole.length));
          for (const { at, to: byte } of changes) {
            if (damaged.length > 0) damaged[at % damaged.length] = byte;
          }
          const fate = fateOf(damaged);
          seen.add(fate);
          expect(['delta', 'FRAME_INVALID']).toContain(fate);
        },
      ),
      { numRuns: 2000 },
    );
    expect([...seen].sort()).toEqual(['FRAME_INVALID', 'delta']);
  });

  test('that are any bytes or values at all are a delta or refused', () => {
    const value = fc.anything({ withBigInt: false, withNullPrototype: true, withTypedArray: true });
    fc.assert(
      fc.property(fc.constantFrom(...FIELDS), value, (field, found) => {
        expect(['delta', 'FRAME_INVALID']).toContain(fateOf(withField(field, found)));
      }),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (data) => {
        expect(fateOf(data)).toBe('FRAME_INVALID');
      }),
      { numRuns: 2000 },
    );
  });
});
