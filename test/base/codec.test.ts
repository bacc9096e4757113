import { describe, expect, test } from 'vitest';
import { pack, packToKeep, unpack } from '../../src/base/codec.js';
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
