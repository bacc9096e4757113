import type { Client } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import type { ReplicaStatus } from '../src/rpc/protocol.js';
import { benchFlags, count } from './harness/flags.js';
import { MiB } from './machine.js';

/**
 * `npm run bench:large`: what values of 16 MiB do to everybody else. One client puts and gets them, one at a
 * time; another does small puts all the while. Shown: the small puts, how long the event loops were held
 * up, and whether leadership stayed where it was.
 */
const flags = benchFlags('bench:large', {
  rounds: count(10, 'of one large put and one large get'),
  valueBytes: count(16 * MiB, 'of each'),
});
const { rounds, valueBytes } = flags;

function percentiles(latencies: number[]): string {
  latencies.sort((a, b) => a - b);
  const at = (q: number): string =>
    (latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))] ?? 0).toFixed(1);
  return `n ${latencies.length}, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms`;
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
  const replicas = await Promise.all(
    cluster.replicas.map(
      async ({ name: replica }): Promise<ReplicaStatus | null> => cluster.status(replica),
    ),
  );
  process.stdout.write(
    `${name}\n  large: ${percentiles(large)}\n  small: ${percentiles(latencies)}\n`,
  );
  for (const status of replicas) {
    if (status === null) continue;
    const { replica, role, term, process: facts } = status;
    process.stdout.write(
      `  ${replica} ${role} term ${term}: event loop held up at most ${facts.eventLoopDelayMs.toFixed(1)} ms\n`,
    );
  }
}

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
