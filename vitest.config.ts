import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Whole-process tests wait for conditions; this bounds the wait, it is not a measure.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Two cores: more processes only fight each other.
    maxWorkers: 2,
  },
});
