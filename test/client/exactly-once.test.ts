import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.js';
import { Chaos } from './support/chaos.js';
import { Harness, watch } from './support/harness.js';

/** `BALSA_SOAK=50` looks fifty times as long. */
const SOAK = Number(process.env.BALSA_SOAK ?? 1);

interface Run {
  readonly seed: number;
  readonly refusals: number;
  readonly troubleMs: number;
  readonly operationsPerBatchMax: number;
  readonly burst: number;
  readonly forgets: boolean;
  readonly givesUp: boolean;
}

const runs = (fixed: { forgets: boolean; givesUp: boolean }) =>
  fc.record({
    seed: fc.integer({ min: 0, max: 2 ** 31 }),
    refusals: fc.constantFrom(0, 0.05, 0.3),
    troubleMs: fc.constantFrom(3, 20, 100),
    operationsPerBatchMax: fc.constantFrom(1, 3, 100),
    burst: fc.constantFrom(2, 10, 60),
    forgets: fc.constant(fixed.forgets),
    givesUp: fc.constant(fixed.givesUp),
  });

/** Writes through a cluster in trouble, then in peace, and looks at what became of every write. */
async function play(run: Run) {
  const h = new Harness(undefined, run.seed);
  const random = seededRandom(run.seed + 1);
  h.cluster.limits = { operationsPerBatchMax: run.operationsPerBatchMax };
  const db = await h.connect();
  const chaos = new Chaos(h.cluster, { ...run, random });
  const writes: ReturnType<typeof watch>[] = [];
  while (writes.length < 200) {
    for (let count = 1 + random.int(run.burst); count > 0; count -= 1) {
      const timeoutMs = run.givesUp && random.int(3) === 0 ? 1 + random.int(60) : 0;
      const signal = run.givesUp && random.int(10) === 0 ? abortSoon(h, random.int(30)) : undefined;
      writes.push(watch(db.put('k', String(writes.length), { timeoutMs, signal })));
    }
    await h.clock.advance(random.int(10));
  }
  chaos.end();
  await h.clock.advance(20_000);
  return { h, writes, applied: h.cluster.appliedValues.map(Number) };
}

function abortSoon(h: Harness, ms: number): AbortSignal {
  const abort = new AbortController();
  h.clock.setTimer(ms, () => abort.abort());
  return abort.signal;
}

const ascending = (list: readonly number[]): boolean =>
  list.every((value, i) => i === 0 || (list[i - 1] ?? 0) < value);

describe('whatever happens to connections and leaders', () => {
  test('every write is answered once, applied once, and in the order of the calls', async () => {
    await fc.assert(
      fc.asyncProperty(runs({ forgets: false, givesUp: false }), async (run) => {
        const { writes, applied } = await play(run);
        expect(applied).toEqual(writes.map((_, i) => i));
        expect(writes.every((w) => w.count === 1 && w.error === null)).toBe(true);
      }),
      { numRuns: 25 * SOAK },
    );
  });

  test('with time limits, aborts and forgotten sessions each outcome is the truth', async () => {
    const counts = { applied: 0, notApplied: 0, unknown: 0 };
    await fc.assert(
      fc.asyncProperty(runs({ forgets: true, givesUp: true }), async (run) => {
        const { writes, applied } = await play(run);
        expect(ascending(applied)).toBe(true);
        const wasApplied = new Set(applied);
        writes.forEach((write, i) => {
          expect(write.count).toBe(1);
          if (write.error === null) expect(wasApplied.has(i)).toBe(true);
          else if (write.error.outcome === 'not-applied') expect(wasApplied.has(i)).toBe(false);
          else expect(write.error.outcome).toBe('unknown');
          if (write.error === null) counts.applied += 1;
          else counts[write.error.outcome === 'unknown' ? 'unknown' : 'notApplied'] += 1;
        });
      }),
      { numRuns: 40 * SOAK },
    );
    // The runs are worth something: all three ends occur.
    expect(Math.min(counts.applied, counts.notApplied, counts.unknown)).toBeGreaterThan(20);
  });
});
