import { describe, expect, test } from 'vitest';
import { crc32 } from '../../src/base/checksum.js';
import { pack, packToKeep, unpack } from '../../src/base/codec.js';
import { unpackClientFrame } from '../../src/rpc/client-frames.js';
import { packFrame } from '../../src/rpc/frame.js';
import { packCommand } from '../../src/statemachine/command.js';

describe('bytes that are kept', () => {
  test('hold on to no large buffer, however large what was packed in between', () => {
    const small = { timeMs: 1, batches: [] };
    const kept: Buffer[] = [];
    for (let i = 0; i < 50; i += 1) {
      pack([Buffer.alloc(300_000)]);
      kept.push(packCommand(small), packToKeep([i]));
    }
    const buffers = new Set(kept.map((bytes) => bytes.buffer));
    const held = [...buffers].reduce((sum, buffer) => sum + buffer.byteLength, 0);
    expect(held).toBeLessThan(100_000);
    expect(unpack(kept[99] ?? Buffer.alloc(0))).toEqual([49]);
  });
});

describe('bytes from outside that are refused', () => {
  test('with more behind a value are so without a look at what it is', () => {
    const bytes = Buffer.concat([pack([Buffer.alloc(1000)]), Buffer.from([1])]);
    let looked = 0;
    const toJson = Buffer.prototype.toJSON;
    Buffer.prototype.toJSON = function () {
      looked += 1;
      return toJson.call(this);
    };
    try {
      const told = `not a msgpack value: it ends after ${bytes.byteLength - 1} bytes`;
      expect(() => unpack(bytes)).toThrow(told);
    } finally {
      Buffer.prototype.toJSON = toJson;
    }
    expect(looked).toBe(0);
  });

  test('for what their type is are so without showing all of it', () => {
    const number = Buffer.concat([Buffer.from([0xc8, 3, 0xe8, 0x42]), Buffer.alloc(1000, 7)]);
    const texts = pack('x'.repeat(10_000));
    for (const type of [number, texts, pack([1]), pack(null)]) {
      const content = Buffer.concat([Buffer.from([0x92]), type, Buffer.from([1])]);
      const frame = Buffer.concat([Buffer.alloc(4), content]);
      frame.writeUInt32BE(crc32(content));
      expect(() => unpackClientFrame(frame)).toThrow(/^frame: unknown type .{0,100}$/);
    }
    expect(() => unpackClientFrame(packFrame([99, 1]))).toThrow(/^frame: unknown type 99$/);
  });
});
