import { expect, test } from 'vitest';
import { Harness } from './support/harness.js';

/** How often a client tries to reach replicas of which nothing is heard. */

/** Replicas that refuse all connections. @returns how many there have been since the last time */
async function refusing(h: Harness, forMs = 2000): Promise<() => number> {
  for (const replica of h.cluster.replicas) {
    replica.condition = 'refuses';
    replica.disconnectAll();
  }
  let dialled = 0;
  const { dial } = h.cluster;
  (h.environment as { dial: typeof dial }).dial = (options) => {
    dialled += 1;
    return dial(options);
  };
  await h.clock.advance(forMs);
  dialled = 0;
  return () => {
    const since = dialled;
    dialled = 0;
    return since;
  };
}

test('replicas that are away are tried about twice a second each', async () => {
  const h = new Harness();
  const db = await h.connect();
  const dialled = await refusing(h);
  await h.clock.advance(4000);
  const tries = dialled();
  expect(tries).toBeGreaterThan(22);
  expect(tries).toBeLessThan(52);
  await db.close();
});

test('and less often the longer they are away, so that many clients are no load for what comes back', async () => {
  const h = new Harness();
  const db = await h.connect();
  const dialled = await refusing(h);
  await h.clock.advance(60_000);
  dialled();
  await h.clock.advance(60_000);
  // Each once in 2.5 to 5 s.
  const tries = dialled();
  expect(tries).toBeGreaterThanOrEqual(36);
  expect(tries).toBeLessThanOrEqual(72);
  for (const replica of h.cluster.replicas) replica.condition = 'up';
  const start = h.clock.monotonicMs();
  await h.until(db.put('k', 'v', { timeoutMs: 30_000 }));
  expect(h.clock.monotonicMs() - start).toBeLessThanOrEqual(5010);
  await h.clock.advance(2000);
  // What was is forgotten.
  const again = await refusing(h);
  await h.clock.advance(4000);
  expect(again()).toBeGreaterThan(22);
  await db.close();
});

test('one that was away once, and not asked since, is not taken for one that was away all the time', async () => {
  const h = new Harness();
  const db = await h.connect();
  await refusing(h);
  await h.clock.advance(60_000);
  for (const name of ['n1', 'n3']) h.cluster.replica(name).condition = 'up';
  await h.until(db.put('k', 'v', { timeoutMs: 20_000 }));
  h.cluster.replica('n2').condition = 'up';
  await h.clock.advance(3_600_000);
  // All are away, for less than a second.
  await refusing(h, 500);
  h.cluster.replica('n2').condition = 'up';
  h.cluster.leader = 'n2';
  const startMs = h.clock.monotonicMs();
  await h.until(db.put('k', 'v', { timeoutMs: 20_000 }));
  expect(h.clock.monotonicMs() - startMs).toBeLessThan(600);
  await db.close();
});

test('the longer a replica is silent, the more time it has to say hello', async () => {
  const h = new Harness(['n1']);
  const db = await h.connect();
  h.cluster.replica('n1').condition = 'hangs';
  h.cluster.replica('n1').disconnectAll();
  const times: number[] = [];
  const { dial } = h.cluster;
  (h.environment as { dial: typeof dial }).dial = (options) => {
    times.push(h.clock.monotonicMs());
    return dial(options);
  };
  await h.clock.advance(120_000);
  const gaps = times.slice(1).map((ms, i) => ms - (times[i] ?? 0));
  expect(gaps[0]).toBeLessThan(2600);
  expect(gaps.at(-1)).toBeGreaterThan(7000);
  expect(Math.max(...gaps)).toBeLessThan(10_100);
  await db.close();
});
