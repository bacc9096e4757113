import fc from 'fast-check';
import { CALL_KEY_BYTES_MAX } from '../../src/base/call.js';
import type { CellChange, Delta } from '../../src/base/delta.js';

const count = fc.nat({ max: 2 ** 31 - 1 });
const text = fc.string({ unit: 'binary', maxLength: 20 });
const exactly = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((array) => Buffer.from(array));
const origin = exactly(8).map((bytes) => bytes.toString('hex'));
const tag = fc.oneof(
  fc.tuple(origin, count, count).map((parts) => parts.join(':')),
  fc.nat({ max: 9 }).map((place) => `~${place}`),
);
const observed = fc.array(tag, { maxLength: 3 });
const rights = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constant(Number.MAX_SAFE_INTEGER));
const is = <T extends string>(...values: T[]) => fc.constantFrom(...values);

/** One of each kind, and none twice. */
const CHANGES: readonly fc.Arbitrary<CellChange>[] = [
  fc.record({ cell: is('counter'), type: is('add'), by: fc.maxSafeInteger() }),
  fc.record({ cell: is('escrow'), type: is('add', 'take'), by: rights }),
  fc.record({ cell: is('escrow'), type: is('give'), by: rights, to: origin }),
  fc.record({ cell: is('set'), type: is('add', 'remove'), item: text, observed }),
  fc.record({ cell: is('map'), type: is('put'), field: text, value: text, observed }),
  fc.record({ cell: is('map'), type: is('remove'), field: text, observed }),
  fc.record({ cell: is('register'), type: is('set'), value: text }),
  fc.record({ cell: is('multi-value'), type: is('set'), value: text, observed }),
  fc.record({ cell: is('log'), type: is('append'), value: text }),
];

/** Any delta that can travel. */
export const anyDelta: fc.Arbitrary<Delta> = fc.record({
  origin,
  sequence: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constant(Number.MAX_SAFE_INTEGER)),
  timeMs: fc.nat({ max: 2 ** 42 }),
  count,
  key: fc.uint8Array({ minLength: 1, maxLength: CALL_KEY_BYTES_MAX }).map((v) => Buffer.from(v)),
  isNamed: fc.boolean(),
  fingerprint: exactly(8),
  procedure: text,
  hash: exactly(32).map((bytes) => bytes.toString('hex')),
  writes: fc.array(fc.record({ key: text, change: fc.oneof(...CHANGES) }), {
    minLength: 1,
    maxLength: 4,
  }),
  result: text,
});

/** As one call of `view` on a counter leaves it. */
export function smallDelta(origin: string, sequence: number, result = 'null'): Delta {
  return {
    origin,
    sequence,
    timeMs: 1_790_000_000_000 + sequence,
    count: 0,
    key: Buffer.from(`key-of-${String(sequence).padStart(8, '0')}`),
    isNamed: false,
    fingerprint: Buffer.alloc(8, 1),
    procedure: 'view@prod',
    hash: 'ab'.repeat(32),
    writes: [{ key: 'views/front', change: { cell: 'counter', type: 'add', by: 1 } }],
    result,
  };
}
