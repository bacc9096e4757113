import { expect, test } from 'vitest';
import { ownThread, threadCpuMs } from '../../src/compute/sandbox/thread-cpu.js';

test('of a thread that is not known nothing is said', () => {
  expect(threadCpuMs('')).toBe(null);
  expect(threadCpuMs('none/task/0')).toBe(null);
});

test.runIf(process.platform === 'linux')('a thread that computes has computed for longer', () => {
  const thread = ownThread();
  const beforeMs = threadCpuMs(thread) ?? Number.NaN;
  while (threadCpuMs(thread) === beforeMs);
  expect(threadCpuMs(thread)).toBeGreaterThan(beforeMs);
});
