import { expect, test } from 'vitest';
import { growingPercent } from '../../src/cli/heap-room.js';

const MiB = 1024 * 1024;

test('a small heap may grow by about 128 MiB, and by no more than four times its size', () => {
  expect(growingPercent(10 * MiB)).toBe(400);
  expect(growingPercent(32 * MiB)).toBe(400);
  expect(growingPercent(40 * MiB)).toBe(300);
  for (let heap = 33; heap < 64; heap += 1) {
    const room = (growingPercent(heap * MiB) / 100) * heap;
    expect(room).toBeLessThanOrEqual(128);
    expect(room).toBeGreaterThan(128 - heap / 2);
  }
});

test('of a larger one V8 knows best', () => {
  for (const heap of [64, 100, 4000]) expect(growingPercent(heap * MiB)).toBe(0);
});
