import { latencySummary } from '../src/cli/bench/latencies.js';
import type { Client } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { benchFlags, count, JSON_FILE } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { MiB, report, rounded } from './machine.js';

/**
 * `npm run bench:large`: what values of 16 MiB do to everybody else. One client puts and gets them, one at a
 * time; another does small puts all the while. Shown: the small puts, how long the event loops were held
 * up, and whether leadership stayed where it was.
 */
const flags = benchFlags('bench:large', {
  rounds: count(10, 'of one large put and one large get'),
  valueBytes: count(16 * MiB, 'of each'),
  json: JSON_FILE,
});
leaveNothingBehind();
const { rounds, valueBytes } = flags;

function figures(of: string, latencies: readonly number[]): Record<string, number> {
  const { p50Ms, p99Ms, maxMs } = latencySummary(latencies);
  return {
    [`${of}: calls`]: latencies.length,
    ...{ [`${of}: p50 ms`]: rounded(p50Ms, 1), [`${of}: p99 ms`]: rounded(p99Ms, 1) },
    [`${of}: max ms`]: rounded(maxMs, 1),
  };
}

async function whileSmallPuts(small: Client, work: () => Promise<unknown>): Promise<number[]> {
  const latencies: number[] = [];
  let over = false;
  const loop = async (): Promise<void> => {
    for (let i = 0; !over; i += 1) {
      const before = performance.now();
      await small.put(`small ${i % 1000}`, 'x');
      latencies.push(performance.now() - before);
    }
  };
  const running = loop();
  await work();
  over = true;
  await running;
  return latencies;
}

async function phase(
  cluster: LocalCluster,
  { name, work }: { readonly name: string; readonly work: (round: number) => Promise<unknown> },
): Promise<void> {
  await using small = await cluster.connect({ timeoutMs: 60_000 });
  const large: number[] = [];
  const latencies = await whileSmallPuts(small, async () => {
    for (let i = 0; i < rounds; i += 1) {
      const before = performance.now();
      await work(i);
      large.push(performance.now() - before);
    }
  });
  const statuses = await Promise.all(
    cluster.replicas.map(({ name: replica }) => cluster.status(replica)),
  );
  const leader = statuses.find(({ role }) => role === 'leader');
  const row = {
    ...{ phase: name, ...figures('large', large), ...figures('small puts', latencies) },
    ...{ leader: leader?.replica ?? 'none', term: leader?.term ?? Number.NaN },
    'event loops held up at most ms': statuses
      .map(({ process: { eventLoopDelayMs } }) => eventLoopDelayMs.toFixed(1))
      .join(' '),
  };
  rows.push(row);
  console.log(JSON.stringify(row));
}

const rows: Record<string, string | number>[] = [];
await using cluster = await LocalCluster.start();
await using client = await cluster.connect({ timeoutMs: 60_000 });
const value = Buffer.alloc(valueBytes);
for (let i = 0; i < valueBytes; i += 4) value.writeUInt32LE((i * 2_654_435_761) >>> 0, i);
await phase(cluster, { name: 'nothing large', work: () => new Promise((r) => setTimeout(r, 200)) });
await phase(cluster, {
  name: `puts of ${valueBytes} bytes`,
  work: (i) => client.put(`large ${i}`, value),
});
await phase(cluster, {
  name: `gets of ${valueBytes} bytes`,
  work: async (i) => {
    const found = await client.get(`large ${i}`);
    if (found.value === null) throw new Error('the value is gone');
  },
});
report('bench:large', rows, flags.json);
