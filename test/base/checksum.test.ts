import { crc32 as zlibCrc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { crc32, crc32Joined } from '../../src/base/checksum.js';

describe('the checksum', () => {
  test('is the CRC-32 of zlib', () => {
    expect(crc32(Buffer.from('123456789'))).toBe(0xcbf43926);
  });

  test('is that of zlib for arrays of all lengths, which are computed in two ways, wherever they begin', () => {
    const arrays = fc.uint8Array({ maxLength: 130 });
    const property = fc.property(arrays, fc.nat(9), fc.nat(0xffff_ffff), (bytes, skip, start) => {
      const part = bytes.subarray(Math.min(skip, bytes.length));
      if (part.length > 0) expect(crc32(part, start)).toBe(zlibCrc32(part, start));
    });
    fc.assert(property, { numRuns: 2000 });
    for (let length = 1; length <= 300; length += 1) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 37 + length) & 0xff);
      expect(crc32(bytes, length)).toBe(zlibCrc32(bytes, length));
    }
  });

  test('of the second part, begun with that of the first, is that of both', () => {
    const [a, b] = [Buffer.from('1234'), Buffer.from('56789')];

    expect(crc32(b, crc32(a))).toBe(crc32(Buffer.concat([a, b])));
  });

  // An empty array has no memory behind it once its buffer was asked for, as `fs.writev` does.
  test.each([
    ['a new empty buffer', Buffer.alloc(0)],
    ['an empty array whose buffer was made', new Uint8Array(new ArrayBuffer(0))],
    ['an empty part of a buffer', Buffer.from('1234').subarray(2, 2)],
  ])('of %s is what it was begun with', (_what, empty) => {
    expect(crc32(empty, 1234)).toBe(1234);
    expect(crc32(empty)).toBe(0);
  });

  test('of two parts is made of that of each, however long the second one is', () => {
    const first = Buffer.from('what comes first');
    const lengths = [...Array(1100).keys(), 4096, 65_536, 1_000_003];
    for (const length of lengths) {
      const second = Buffer.alloc(length, `${length} bytes of something`);
      const joined = crc32Joined(crc32(first), crc32(second), length);
      expect({ length, joined }).toEqual({ length, joined: crc32(second, crc32(first)) });
    }
    const property = fc.property(
      fc.uint8Array({ maxLength: 1500 }),
      fc.nat(0xffff_ffff),
      (b, a) => {
        expect(crc32Joined(a, crc32(b), b.length)).toBe(crc32(b, a));
      },
    );
    fc.assert(property, { numRuns: 1000 });
  });
});
