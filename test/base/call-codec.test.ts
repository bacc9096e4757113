import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  CALL_KEY_BYTES_MAX,
  type CallEnd,
  type CallRecord,
  pendingPlace,
  pendingRevision,
} from '../../src/base/call.js';
import {
  packCall,
  packCallOutcome,
  unpackCall,
  unpackCallOutcome,
} from '../../src/base/call-codec.js';
import { pack, unpack } from '../../src/base/codec.js';
import { BalsaError } from '../../src/base/errors.js';

const count = fc.nat({ max: 2 ** 31 - 1 });
const bytes = fc.uint8Array({ maxLength: 20 }).map((array) => Buffer.from(array));
const text = fc.string({ unit: 'binary', maxLength: 20 });
const place = fc.nat({ max: 5000 });
const revision = fc.oneof(count, fc.constant(2 ** 52 - 1), place.map(pendingRevision));
const finite = fc
  .double({ noNaN: true, noDefaultInfinity: true })
  // Zero has one sign on its way, as in JSON.
  .map((by) => (by === 0 ? 0 : by));

const end: fc.Arbitrary<CallEnd> = fc.oneof(
  fc.record({ ok: fc.constant(true as const), result: text }),
  fc.record({
    ok: fc.constant(false as const),
    code: text,
    message: text,
    details: fc.dictionary(fc.string(), fc.oneof(fc.string(), count, fc.constant(null)), {
      noNullPrototype: true,
      maxKeys: 3,
    }),
  }),
);

const update = fc.oneof(
  fc.record({ type: fc.constantFrom('add' as const, 'max' as const), key: bytes, by: finite }),
  fc.record({ type: fc.constant('set-if-absent' as const), key: bytes, value: bytes }),
);

const short = { maxLength: 4 };
const record: fc.Arbitrary<CallRecord> = fc.record({
  key: fc.uint8Array({ minLength: 1, maxLength: CALL_KEY_BYTES_MAX }).map((v) => Buffer.from(v)),
  isNamed: fc.boolean(),
  bornIndex: count,
  procedure: text,
  hash: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((v) => Buffer.from(v).toString('hex')),
  fingerprint: fc.uint8Array({ minLength: 8, maxLength: 8 }).map((v) => Buffer.from(v)),
  dependsOn: fc.array(place, short),
  reads: fc.array(fc.record({ key: bytes, modRevision: revision }), short),
  ranges: fc.array(
    fc.record({
      from: bytes,
      to: fc.oneof(bytes, fc.constant(null)),
      keys: count,
      modRevisionMax: count,
    }),
    short,
  ),
  writes: fc.array(fc.record({ key: bytes, value: fc.oneof(bytes, fc.constant(null)) }), short),
  updates: fc.array(update, short),
  events: fc.array(fc.record({ name: text, payload: text }), short),
  end,
});

const KEY = Buffer.of(7);
const WHOLE: CallRecord = {
  key: KEY,
  isNamed: true,
  bornIndex: 3,
  procedure: 'transfer@prod',
  hash: 'ab'.repeat(32),
  fingerprint: Buffer.alloc(8, 1),
  dependsOn: [0],
  reads: [{ key: KEY, modRevision: 4 }],
  ranges: [{ from: KEY, to: null, keys: 2, modRevisionMax: 4 }],
  writes: [{ key: KEY, value: KEY }],
  updates: [{ type: 'add', key: KEY, by: 1.5 }],
  events: [{ name: 'paid', payload: '{}' }],
  end: { ok: true, result: 'null' },
};

const FIELDS = [
  ...(['key', 'flags', 'bornIndex', 'fingerprint', 'dependsOn', 'reads', 'ranges'] as const),
  ...(['writes', 'updates', 'events', 'end', 'procedure', 'hash'] as const),
];

/** The bytes of {@link WHOLE} with another value in the place of one field. */
function withField(field: (typeof FIELDS)[number], value: unknown): Buffer {
  const tuple = unpack(packCall(WHOLE)) as unknown[];
  expect(tuple).toHaveLength(FIELDS.length);
  return pack(tuple.with(FIELDS.indexOf(field), value));
}

/** What becomes of bytes: a record, or why not. */
function fateOf(data: Uint8Array): 'record' | string {
  try {
    unpackCall(data);
    return 'record';
  } catch (error) {
    return error instanceof BalsaError ? error.code : String(error);
  }
}

describe('a call as bytes', () => {
  test('comes out as it went in', () => {
    fc.assert(
      fc.property(record, (call) => {
        expect(unpackCall(packCall(call))).toEqual(call);
      }),
    );
  });

  test('and so does its outcome', () => {
    fc.assert(
      fc.property(fc.record({ result: text, revision: count }), (outcome) => {
        expect(unpackCallOutcome(packCallOutcome(outcome))).toEqual(outcome);
      }),
    );
  });

  test('may carry fields that this version does not know', () => {
    const tuple = unpack(packCall(WHOLE)) as unknown[];
    expect(unpackCall(pack([...tuple, 'newer']))).toEqual(WHOLE);
  });

  test('lacks no field', () => {
    const tuple = unpack(packCall(WHOLE)) as unknown[];
    for (let length = 0; length < tuple.length; length += 1) {
      expect(fateOf(pack(tuple.slice(0, length)))).toBe('FRAME_INVALID');
    }
  });

  test.each([
    ['key', 'text'],
    ['key', Buffer.alloc(0)],
    ['key', Buffer.alloc(CALL_KEY_BYTES_MAX + 1)],
    ['flags', -1],
    ['flags', null],
    ['bornIndex', 1.5],
    ['bornIndex', -1],
    ['fingerprint', Buffer.alloc(7)],
    ['fingerprint', Buffer.alloc(9)],
    ['fingerprint', 'eight by'],
    ['dependsOn', null],
    ['dependsOn', [-1]],
    ['dependsOn', ['0']],
    ['reads', 7],
    ['reads', [KEY]],
    ['reads', [KEY, 1, KEY]],
    ['reads', ['key', 1]],
    ['reads', [KEY, '1']],
    ['reads', [KEY, 1.5]],
    ['reads', [KEY, -1.5]],
    ['reads', [KEY, Number.NEGATIVE_INFINITY]],
    ['reads', [KEY, null]],
    ['ranges', [[KEY, null, 1]]],
    ['ranges', [['from', null, 1, 1]]],
    ['ranges', [[KEY, 'to', 1, 1]]],
    ['ranges', [[KEY, null, -1, 1]]],
    ['ranges', [[KEY, null, 1, -1]]],
    ['ranges', [[KEY, null, 1, null]]],
    ['reads', [KEY, 2 ** 52]],
    ['ranges', [7]],
    ['writes', [KEY]],
    ['writes', ['key', KEY]],
    ['writes', [KEY, 'value']],
    ['writes', [KEY, 7]],
    ['updates', [[0, KEY]]],
    ['updates', [[0, 'key', 1]]],
    ['updates', [[0, KEY, '1']]],
    ['updates', [[0, KEY, Number.NaN]]],
    ['updates', [[1, KEY, Number.POSITIVE_INFINITY]]],
    ['updates', [[0, KEY, KEY]]],
    ['updates', [[2, KEY, 1]]],
    ['updates', [[2, KEY, null]]],
    ['updates', [[3, KEY, 1]]],
    ['updates', [['0', KEY, 1]]],
    ['events', ['name']],
    ['events', ['name', KEY]],
    ['events', [KEY, '{}']],
    ['end', null],
    ['end', [0]],
    ['end', [0, KEY]],
    ['end', [0, null]],
    ['end', [1, 'CODE']],
    ['end', [1, 'CODE', 'message']],
    ['end', [1, 'CODE', 7, '{}']],
    ['end', [1, 7, 'message', '{}']],
    ['end', [1, 'CODE', 'message', '{']],
    ['end', [1, 'CODE', 'message', '7']],
    ['end', [1, 'CODE', 'message', null]],
    ['end', [2, 'CODE', 'message', '{}']],
    ['end', ['0', 'null']],
    ['procedure', KEY],
    ['procedure', null],
    ['hash', 'ab'.repeat(32)],
    ['hash', Buffer.alloc(31)],
    ['hash', Buffer.alloc(33)],
  ] as const)('with another %s is refused (%#)', (field, value) => {
    expect(fateOf(withField(field, value))).toBe('FRAME_INVALID');
  });

  test.each([
    ['no msgpack', Buffer.of(0xc1)],
    ['nothing', Buffer.alloc(0)],
    ['no tuple', pack({ key: 1 })],
    ['a number', pack(7)],
  ])('that are %s are refused', (_what, data) => {
    expect(fateOf(data)).toBe('FRAME_INVALID');
  });

  test('that were damaged are a record or refused, and nothing else', () => {
    const change = fc.record({ at: fc.nat(), to: fc.integer({ min: 0, max: 255 }) });
    const seen = new Set<string>();
    fc.assert(
      fc.property(
        record,
        fc.array(change, { minLength: 1, maxLength: 3 }),
        fc.option(fc.nat(), { nil: null }),
        (call, changes, cut) => {
          const whole = packCall(call);
          const damaged = Buffer.from(cut === null ? whole : whole.subarray(0, cut % whole.length));
          for (const { at, to } of changes) {
            if (damaged.length > 0) damaged[at % damaged.length] = to;
          }
          const fate = fateOf(damaged);
          seen.add(fate);
          expect(['record', 'FRAME_INVALID']).toContain(fate);
        },
      ),
      { numRuns: 2000 },
    );
    expect([...seen].sort()).toEqual(['FRAME_INVALID', 'record']);
  });

  test('that are any value at all are a record or refused', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...FIELDS),
        fc.anything({ withBigInt: false, withNullPrototype: true, withTypedArray: true }),
        (field, value) => {
          expect(['record', 'FRAME_INVALID']).toContain(fateOf(withField(field, value)));
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('outcomes that are none are refused', () => {
    for (const value of [null, [], ['null'], [7, 1], ['null', -1], ['null', '1']]) {
      expect(() => unpackCallOutcome(pack(value))).toThrow(
        expect.objectContaining({ code: 'FRAME_INVALID' }),
      );
    }
  });
});

describe('a revision that is not there yet', () => {
  test('is behind all that are, and names the place of the call', () => {
    expect(pendingRevision(0)).toBeGreaterThan(2 ** 52 - 1);
    expect(pendingRevision(1)).toBeGreaterThan(pendingRevision(0));
    for (const at of [0, 1, 8191]) expect(pendingPlace(pendingRevision(at))).toBe(at);
    for (const known of [0, 1, 2 ** 52 - 1]) expect(pendingPlace(known)).toBeNull();
  });

  test('takes few bytes', () => {
    const read = (modRevision: number) =>
      packCall({ ...WHOLE, reads: [{ key: KEY, modRevision }] }).byteLength;
    expect(read(pendingRevision(0))).toBe(read(1));
    expect(read(pendingRevision(31))).toBe(read(1));
  });
});
