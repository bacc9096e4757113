import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { GenerationCache } from '../../src/statemachine/generation-cache.js';
import {
  decodeKeyRecord,
  encodeKeyRecord,
  INLINE_BYTES_MAX,
  inlineValue,
  type KeyRecord,
  linkNext,
  positionAt,
  readKeyHead,
} from '../../src/statemachine/key-record.js';
import { CACHE_ENTRY_BYTES } from '../../src/statemachine/keyspace.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** The record of a key that was written by revisions 1, 2, 3 ... and the skip target of each write. */
function written(times: number): { record: KeyRecord; skips: number[] } {
  let record: KeyRecord | null = null;
  const skips: number[] = [];
  for (let revision = 1; revision <= times; revision += 1) {
    const { skip, depth, back, previous } = linkNext(record);
    expect(previous.revision).toBe(revision - 1);
    skips.push(skip.revision);
    record = {
      modified: { revision, sub: 0 },
      createRevision: 1,
      version: revision,
      lease: 0,
      valueBytes: 7,
      depth,
      back,
    };
  }
  if (record === null) throw new Error('never written');
  return { record, skips };
}

describe('the chain of the writes of a key', () => {
  test('skips from each write to the one with its lowest 1 bit cleared', () => {
    const { skips } = written(64);

    const naive = Array.from({ length: 64 }, (_, n) => (n + 1) & n);
    expect(skips).toEqual(naive);
  });

  test('needs few positions in the key record', () => {
    const { record } = written(1023);

    const revisions = [1022, 1020, 1016, 1008, 992, 960, 896, 768, 512];
    expect(record.back).toEqual(revisions.flatMap((revision) => [revision, 0]));
    expect(positionAt(record.back, 2)).toEqual({ revision: 1016, sub: 0 });
  });
});

describe('the key record', () => {
  test('comes back as it was written, large numbers too', () => {
    const record: KeyRecord = {
      modified: { revision: Number.MAX_SAFE_INTEGER, sub: 65_535 },
      createRevision: 2 ** 32,
      version: 2 ** 32 - 1,
      lease: 2 ** 53 - 2,
      valueBytes: 2 ** 32 - 1,
      depth: 3,
      back: [2 ** 40 + 1, 7],
    };

    expect(decodeKeyRecord(encodeKeyRecord(record, Buffer.from('not kept here')))).toEqual(record);
  });

  test.each([
    { valueBytes: 0, isInline: true },
    { valueBytes: INLINE_BYTES_MAX, isInline: true },
    { valueBytes: INLINE_BYTES_MAX + 1, isInline: false },
  ])('has a value of $valueBytes bytes with it: $isInline', ({ valueBytes, isInline }) => {
    const value = Buffer.alloc(valueBytes, 'v');
    const record: KeyRecord = { ...written(1023).record, valueBytes };

    const bytes = encodeKeyRecord(record, value);

    expect(decodeKeyRecord(bytes)).toEqual(record);
    expect(inlineValue(bytes)).toEqual(isInline ? value : null);
  });

  test('takes no more memory when it was read than the cache of them counts', () => {
    const bytes = encodeKeyRecord(written(30).record, Buffer.alloc(7));
    collectGarbage();
    const beforeBytes = process.memoryUsage().heapUsed;

    const records = Array.from({ length: 20_000 }, () => decodeKeyRecord(bytes));

    collectGarbage();
    const each = (process.memoryUsage().heapUsed - beforeBytes) / records.length;
    expect(each).toBeGreaterThan(100);
    // In a process that has seen one with numbers of more than 31 bits, each of these is an object of its own.
    const numbers = 5 * 16;
    expect(each).toBeLessThan(CACHE_ENTRY_BYTES + numbers);
  });

  test('is unreadable when it was cut off, or has more than it should', () => {
    const bytes = encodeKeyRecord({ ...written(3).record, valueBytes: 5 }, Buffer.from('value'));

    for (const damaged of [bytes.subarray(0, -1), Buffer.concat([bytes, bytes.subarray(0, 1)])]) {
      expect(() => decodeKeyRecord(damaged)).toThrow(/a key record of/);
      expect(() => readKeyHead(damaged)).toThrow(/a key record of/);
    }
  });
});

describe('the caches of key records and of what keys hold', () => {
  test('forgets what was not used for a turn and keeps what was', () => {
    const cache = new GenerationCache<number>(10 * 201, () => 200);
    cache.set('a', 1);
    cache.set('b', 2);

    for (let n = 0; n < 4; n += 1) cache.set(String(n), n);
    expect(cache.get('a')).toBe(1);
    for (let n = 4; n < 9; n += 1) cache.set(String(n), n);

    expect(cache.get('a')).toBe(1);
    expect(cache.get('b')).toBeUndefined();
  });

  test('holds the last value that was set', () => {
    const cache = new GenerationCache<number>(3 * 201, () => 200);
    for (const n of [1, 2, 3, 4, 5]) {
      cache.set('a', n);
      expect(cache.get('a')).toBe(n);
      cache.set(`other${n}`, n);
    }
    expect(cache.get('a')).toBe(5);
  });

  test('counts what its entries cost, also when one is replaced or deleted', () => {
    const cache = new GenerationCache<number>(200, (value) => value);
    cache.set('a', 10);
    for (let n = 0; n < 50; n += 1) cache.set('b', 10);
    for (let n = 0; n < 50; n += 1) {
      cache.set('c', 40);
      cache.delete('c');
    }
    // Nothing has made it turn twice.
    expect(cache.get('a')).toBe(10);
    cache.set('b', 95);
    cache.set('c', 95);
    cache.set('d', 95);
    expect(cache.get('a')).toBeUndefined();
  });
});
