import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MACHINE_KEY } from '../../src/statemachine/layout.js';
import {
  decodeMachineRecord,
  EMPTY_MACHINE,
  type MachineRecord,
  sealWrites,
} from '../../src/statemachine/machine-record.js';
import type { StateWrite } from '../../src/statemachine/state-store.js';

interface Write {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** All replicas of a cluster, whatever their version, must come to this. */
function chainedBytes(hash: number, writes: readonly Write[]): number {
  const mix = (before: number, length: number): number =>
    Math.imul(before ^ length, 0x9e3779b1) >>> 0;
  let chained = hash;
  for (const { key, value } of writes) {
    chained = crc32(key, mix(chained, key.byteLength));
    chained = value === null ? mix(chained, -1) : crc32(value, mix(chained, value.byteLength));
  }
  return chained;
}

function sealed(record: MachineRecord, writes: readonly Write[]) {
  const own: StateWrite[] = writes.map((write) => ({ ...write }));
  const stateHash = sealWrites(record, own);
  return { writes: own, stateHash };
}

const bytesOf = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7) & 0xff);

const writeArb: fc.Arbitrary<Write> = fc.record({
  key: fc.uint8Array({ minLength: 1, maxLength: 40 }),
  value: fc.oneof(
    fc.constant(null),
    fc.uint8Array({ maxLength: 300 }),
    fc.tuple(fc.integer({ min: 900, max: 1200 }), fc.nat(99)).map(([n, seed]) => bytesOf(n, seed)),
  ),
});

describe('what an entry writes', () => {
  test('is chained byte by byte into the hash of the state, with the machine record behind it', () => {
    const property = fc.property(fc.array(writeArb), fc.nat(0xffff_ffff), (writes, before) => {
      const record = { ...EMPTY_MACHINE, appliedIndex: 7, stateHash: before };
      const { writes: own, stateHash } = sealed(record, writes);

      const last = own.at(-1)?.value ?? new Uint8Array(0);
      const expected = crc32(last.subarray(0, last.length - 4), chainedBytes(before, writes));
      expect(stateHash).toBe(expected);
      expect(decodeMachineRecord(last)).toEqual({ ...record, stateHash: expected });
      expect(own.at(-1)?.key).toEqual(MACHINE_KEY);
      expect(own.slice(0, -1).map(({ key, value }) => ({ key, value }))).toEqual(writes);
    });
    fc.assert(property, { numRuns: 100 });
  });

  test('has the hash that it has had since the first version', () => {
    const writes = [
      { key: Buffer.from('kone'), value: bytesOf(150, 1) },
      { key: Buffer.from('ktwo'), value: null },
      { key: Buffer.from('kthree'), value: bytesOf(5000, 3) },
      { key: Buffer.from('kfour'), value: bytesOf(0, 4) },
    ];

    const record = { ...EMPTY_MACHINE, appliedIndex: 4, stateHash: 99 };

    expect(sealed(record, writes).stateHash).toBe(0xce878e82);
  });

  test('carries the checksum of each key and value, joined', () => {
    const property = fc.property(fc.array(writeArb), (writes) => {
      for (const { key, value, checksum } of sealed(EMPTY_MACHINE, writes).writes.slice(0, -1)) {
        const both = value === null ? undefined : crc32(Buffer.concat([key, value])) | 0;
        expect(checksum).toBe(both);
      }
    });
    fc.assert(property, { numRuns: 100 });
  });
});
