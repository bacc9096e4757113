import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkNesting, pack, unpack } from '../../src/base/codec.js';

function nested(depth: number, inner: unknown = 1): unknown {
  let value = inner;
  for (let i = 0; i < depth; i += 1) value = [value];
  return value;
}

test.each([
  ['lists', (depth: number) => pack(nested(depth))],
  ['lists of many', (depth: number) => pack([1, 'a', Buffer.alloc(300), nested(depth - 1), 2])],
  [
    'maps',
    (depth: number) =>
      Buffer.concat([...Array(depth).fill(Buffer.from([0x81, 0x01])), Buffer.from([1])]),
  ],
  [
    'long lists',
    (depth: number) =>
      Buffer.concat([...Array(depth).fill(Buffer.from([0xdd, 0, 0, 0, 1])), Buffer.from([1])]),
  ],
])('%s may be nested 32 deep and not deeper', (_what, packed) => {
  expect(() => checkNesting(packed(32))).not.toThrow();
  for (const depth of [33, 100, 500]) {
    expect(() => checkNesting(packed(depth))).toThrow(/nested/);
  }
});

test.each([
  ['a set', [0xd4, 0x73, 0x00]],
  ['an error', [0xd4, 0x65, 0x00, 0x92, 0xa1, 0x61]],
  ['a value with an id', [0xd6, 0x69, 0, 0, 0, 1]],
  ['a record', [0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61]],
  ['a set, in a longer form', [0xc7, 0x01, 0x73, 0x00]],
  ['a set, in the longest form', [0xc9, 0, 0, 0, 1, 0x73, 0x00]],
])(
  '%s that holds another one, and so on, is refused: one replica could read it, and another not',
  (_what, head) => {
    for (const depth of [1, 33, 20_000]) {
      const chain = Buffer.concat([...Array(depth).fill(Buffer.from(head)), Buffer.from([0x90])]);
      // As one more field of a deletion, which nobody looks at.
      const bytes = Buffer.concat([Buffer.from([0x91, 0x94, 2, 0xc4, 1, 0x6b, 0]), chain]);
      expect(() => checkNesting(bytes)).toThrow(/extension/);
    }
  },
);

test('a field that is not there is no extension', () => {
  const bytes = pack([[1, undefined], undefined, 2]);
  expect(bytes.includes(0xd4)).toBe(true);
  expect(() => checkNesting(bytes)).not.toThrow();
  expect(unpack(bytes)).toEqual([[1, undefined], undefined, 2]);
});

test('what a list holds behind a nested one is not nested', () => {
  expect(() =>
    checkNesting(pack(Array.from({ length: 1000 }, () => [[1], [[2]], 'x']))),
  ).not.toThrow();
});

test('all that can be packed is walked to its end', () => {
  const value = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.integer(),
      fc.double(),
      fc.string({ maxLength: 400 }),
      fc.boolean(),
      fc.constant(null),
      fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
      fc.maxSafeInteger(),
      fc.array(tie('value'), { maxLength: 40 }),
    ),
  })).value;
  fc.assert(
    fc.property(value, (given) => {
      const bytes = pack(given);
      expect(() => checkNesting(bytes)).not.toThrow();
      // Put in a list that is too deep it is seen, whatever comes before: its end was found.
      const behind = Buffer.concat([Buffer.from([0x92]), bytes, pack(nested(33))]);
      expect(() => checkNesting(behind)).toThrow(/nested/);
    }),
  );
});

test('any bytes are walked, to whatever they are', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        checkNesting(bytes);
      } catch (error) {
        expect((error as Error).message).toMatch(/nested|extension/);
      }
      try {
        unpack(bytes);
      } catch {
        // Most are nothing.
      }
    }),
  );
});
