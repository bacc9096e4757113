import { describe, expect, test, vi } from 'vitest';
import { runWith } from './crash-points.js';
import { planAll, sample } from './plan.js';

/** In a test run, of those that come during an installation and of all; `npm run crash-points` tries all. */
const OUTCOMES_MAX = 6;
const RUNS = 8;

// Much of one core's time, which others may want too.
vi.setConfig({ testTimeout: 600_000 });

describe('a power failure at any step of any replica', () => {
  test('leaves a log that opens and holds all that was promised; the cluster goes on and loses nothing', async () => {
    const plan = await planAll(OUTCOMES_MAX);
    expect(plan.places).toBeGreaterThan(2500);
    expect(plan.logsOpened).toBeGreaterThan(10_000);
    const broken: string[] = [];
    const chosen = [...sample(plan.installing, RUNS, 2), ...sample(plan.crashes, RUNS, 1)];
    for (const crash of chosen) {
      const violation = await runWith(crash);
      if (violation !== null) broken.push(`${JSON.stringify(crash)}: ${violation}`);
    }
    expect(broken).toEqual([]);
  });
});
