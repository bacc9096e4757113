import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  blockBytes,
  contentsBytes,
  packContents,
  packItems,
  unpackContents,
  unpackItems,
} from '../../src/base/item-block.js';

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const count = fc.oneof(
  fc.nat({ max: 3 }),
  fc.constantFrom(2 ** 32, 2 ** 40 + 1, Number.MAX_SAFE_INTEGER),
);
const item = fc.record({
  key: bytes,
  value: bytes,
  createRevision: count,
  modRevision: count,
  version: count,
  lease: count,
});
const one = { createRevision: 1, modRevision: 2, version: 3, lease: 4 };
const block = packItems([{ key: Buffer.from('key'), value: Buffer.from('value'), ...one }]);

describe('a block of items', () => {
  test('comes back as it was packed', () => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: 20 }), (items) => {
        const packed = packItems(items);

        expect(packed.byteLength).toBe(blockBytes(items));
        expect(unpackItems(packed)).toEqual(items);
      }),
    );
  });

  test('is refused when it was cut off anywhere', () => {
    for (let length = 1; length < block.byteLength; length += 1) {
      expect(() => unpackItems(block.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'FRAME_INVALID' }),
      );
    }
  });

  test.each([-1, 0.5, Number.NaN, 2 ** 53])('is refused with %d for a count', (count) => {
    const wrong = Buffer.from(block);
    wrong.writeDoubleBE(count, 16);

    expect(() => unpackItems(wrong)).toThrow(expect.objectContaining({ code: 'FRAME_INVALID' }));
  });
});

describe('a block of what keys hold', () => {
  const held = fc.option(
    fc.record({
      value: bytes,
      createRevision: count,
      modRevision: count,
      version: count,
      lease: count,
    }),
  );
  const two = packContents([null, { value: Buffer.from('value'), ...one }]);

  test('comes back as it was packed, with what is absent', () => {
    fc.assert(
      fc.property(fc.array(held, { maxLength: 20 }), (items) => {
        const packed = packContents(items);

        expect(packed.byteLength).toBe(contentsBytes(items));
        expect(unpackContents(packed)).toEqual(items);
      }),
    );
  });

  test('is refused when it was cut off anywhere but between two', () => {
    for (let length = 1; length < two.byteLength; length += 1) {
      if (length === 4) continue;
      expect(() => unpackContents(two.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'FRAME_INVALID' }),
      );
    }
    expect(unpackContents(two.subarray(0, 4))).toEqual([null]);
  });

  test.each([-1, 0.5, Number.NaN, 2 ** 53])('is refused with %d for a count', (count) => {
    const wrong = Buffer.from(two);
    wrong.writeDoubleBE(count, 16);

    expect(() => unpackContents(wrong)).toThrow(expect.objectContaining({ code: 'FRAME_INVALID' }));
  });
});
