import { LocalCluster } from '../src/cluster/local-cluster.js';
import { benchFlags, JSON_FILE } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { report } from './machine.js';
import { inNumbers, SteadyLoad } from './steady-load.js';

/**
 * `npm run bench:membership`: how long do writes stand still when the members change? Replaces all three
 * members of a loaded cluster one by one, then grows one from 1 to 5 members and back to 1.
 */
const flags = benchFlags('bench:membership', { json: JSON_FILE });
leaveNothingBehind();
const LOAD = { outstanding: 32, valueBytes: 128 };

async function step(load: SteadyLoad, what: string, change: () => Promise<unknown>): Promise<void> {
  load.window();
  const startMs = performance.now();
  await change();
  const tookMs = performance.now() - startMs;
  // A little of what comes behind it belongs to it.
  await new Promise((resolve) => setTimeout(resolve, 500));
  const row = { change: what, 'took ms': Math.round(tookMs), ...inNumbers(load.window()) };
  console.log(JSON.stringify(row));
  rows.push(row);
}

/** What is compiled while it runs is slow at first, and would make light of what the changes cost. */
function warmUp(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20_000));
}

const rows: Record<string, string | number>[] = [];
{
  await using cluster = await LocalCluster.start({ logLevel: 'warn' });
  await using db = await cluster.connect();
  const load = new SteadyLoad(db, LOAD);
  await warmUp();
  await step(load, 'none, for five seconds', () => new Promise((r) => setTimeout(r, 5000)));
  for (const name of ['n1', 'n2', 'n3']) {
    await step(load, `replace ${name}`, () => cluster.addReplica({ replaces: name }));
  }
  await load.stop();
}
{
  await using cluster = await LocalCluster.start({ replicas: 1, logLevel: 'warn' });
  await using db = await cluster.connect();
  const load = new SteadyLoad(db, LOAD);
  await warmUp();
  for (const count of [2, 3, 4, 5]) {
    await step(load, `grow to ${count}`, () => cluster.addReplica());
  }
  for (const name of ['n1', 'n2', 'n3', 'n4']) {
    await step(load, `remove ${name}`, () => cluster.removeReplica(name));
  }
  await load.stop();
}
report('bench:membership', rows, flags.json);
