import { asBalsaError } from '../src/base/errors.js';
import { latencySummary } from '../src/cli/bench/latencies.js';
import { openLoop } from '../src/cli/bench/open-loop.js';
import type { Client } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { forSeconds } from './closed-loop.js';
import { amount, amounts, benchFlags, count, JSON_FILE } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { MiB, memoryUse, report, rounded } from './machine.js';

/**
 * `npm run bench:overload`: puts that come several times as fast as they can be served (an open loop: nobody waits for those before), three replicas,
 * one client. What is served of them beside the most that a closed loop gets, how long that takes since each was due (also where
 * the client itself came too late to begin it), and what the others are told.
 */
const flags = benchFlags('bench:overload', {
  factors: amounts([1, 3], 'of the top that are asked for'),
  seconds: amount(10, 'of each'),
  outstanding: count(256, 'at a time, in the closed loop that finds the top'),
  timeoutMs: count(5000, 'that each call has'),
  json: JSON_FILE,
});
leaveNothingBehind();
const { seconds, outstanding } = flags;
const KEYS = 100_000;
const VALUE = Buffer.alloc(128, 'v');
const WARM_UP_SECONDS = 8;

let next = 0;
const put = (db: Client): Promise<unknown> => db.put(`key/${next++ % KEYS}`, VALUE);

await using cluster = await LocalCluster.start({ logLevel: 'warn' });
await using db = await cluster.connect({ timeoutMs: flags.timeoutMs });
const closedLoop = async (s: number): Promise<number> =>
  (await forSeconds(s, outstanding, () => put(db))).perSecond;

await closedLoop(WARM_UP_SECONDS);
const rows: Record<string, string | number>[] = [];
for (const factor of flags.factors) {
  const before = await closedLoop(seconds);
  const found = await askTooMuch(before * factor);
  const after = await closedLoop(seconds);
  const top = (before + after) / 2;
  rows.push({
    ...{ 'times the top': factor, 'top, per second': rounded(top), ...found },
    'served of the top': rounded(found['served per second'] / top, 2),
    'most MiB of a replica': rounded(
      Math.max(...cluster.running.map(({ pid }) => memoryUse(pid ?? 0).residentMaxBytes)) / MiB,
    ),
  });
}
report('bench:overload', rows, flags.json);

async function askTooMuch(perSecond: number) {
  const latencies: number[] = [];
  const refused = new Map<string, number>();
  let lateMs = 0;
  let servedMs = 0;
  const { calls, startedMs } = await openLoop({
    ...{ seconds, perSecond, call: () => put(db) },
    onEnd: ({ dueMs, begunMs, endedMs, failure }) => {
      lateMs = Math.max(lateMs, begunMs - dueMs);
      if (failure === null) {
        latencies.push(endedMs - dueMs);
        servedMs = endedMs;
        return;
      }
      const { code, outcome } = asBalsaError(failure.cause);
      const what = `${code} (${outcome ?? 'none'})`;
      refused.set(what, (refused.get(what) ?? 0) + 1);
    },
  });
  const { p50Ms, p99Ms, maxMs } = latencySummary(latencies);
  const served = latencies.length;
  return {
    'asked per second': rounded(calls / seconds),
    // Until the last answer: what was due at the end is served behind it.
    'served per second': rounded(served / Math.max(seconds, (servedMs - startedMs) / 1000)),
    'served of those asked': rounded(served / calls, 2),
    ...{ 'p50 ms': rounded(p50Ms), 'p99 ms': rounded(p99Ms), 'max ms': rounded(maxMs) },
    'begun too late by at most ms': rounded(lateMs),
    failed: calls - served,
    'they were told': [...refused].map(([what, count]) => `${what}: ${count}`).join('; '),
  };
}
