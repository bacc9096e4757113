import { writeFileSync } from 'node:fs';
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { asBalsaError } from '../src/base/errors.js';
import { median } from '../src/cli/bench/latencies.js';
import { type EndedCall, openLoop } from '../src/cli/bench/open-loop.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { forSeconds } from './closed-loop.js';
import { type DueWindow, DueWindows } from './due-windows.js';
import { htmlDocument } from './harness/document.js';
import { amount, benchFlags, count, JSON_FILE, text } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { plot, safe } from './harness/plot.js';
import { diskBytesWritten } from './harness/process-use.js';
import { Progress } from './harness/progress.js';
import { MiB, memoryUse, report, rounded } from './machine.js';

/**
 * `npm run bench:endurance`: puts for half an hour at 70 % of the most that a closed loop gets, three replicas, one client. An open
 * loop: a put is begun when it is due, and its time runs from then, so that a stop makes all of them late that were due meanwhile; it
 * counts in the window in which it was due, whenever it ends. The history is compacted all the time, also when the top is measured, and the log is cut whenever it is full. Says, window by window,
 * whether latency and memory stay flat.
 */
const flags = benchFlags('bench:endurance', {
  minutes: amount(30, 'of the open loop'),
  share: amount(0.7, 'of the top that it asks for'),
  windowSeconds: amount(60, 'of which each row tells'),
  outstanding: count(256, 'at a time, in the closed loop that finds the top'),
  warmUpSeconds: amount(90, 'before, not counted'),
  keys: count(100_000, 'that are written'),
  html: text('curves, into this file'),
  json: JSON_FILE,
});
leaveNothingBehind();
const { windowSeconds, keys } = flags;
const windows = Math.max(1, Math.round((flags.minutes * 60) / windowSeconds));
/** The top is the middle one of so many. */
const TOPS = 3;
const TOP_SECONDS = 10;
const VALUE = Buffer.alloc(128, 'v');
/** Of the history, in the cluster measured: so that it is compacted from the first minutes on. */
const HISTORY_MS = 60_000;

/** Of the calls that were due in one window. */
interface Seen {
  /** In microseconds. To sort all of them would make this process stand still, and its client with it. */
  readonly latencies: RecordableHistogram;
  failed: number;
  /** What the clock says, and not what was due. */
  atEnd: AtEnd | null;
}

interface AtEnd {
  readonly 'served per second': number;
  readonly 'longest without an answer ms': number;
  readonly 'MiB of a replica': number;
  readonly 'of it anonymous': number;
  readonly 'MiB written': number;
}

await using cluster = await LocalCluster.start({ logLevel: 'warn' });
await using db = await cluster.connect({ timeoutMs: 30_000 });
await db.settings.set({ historyMs: HISTORY_MS });
let next = 0;
const put = (): Promise<unknown> => db.put(`key/${next++ % keys}`, VALUE);
const closedLoop = async (seconds: number): Promise<number> =>
  (await forSeconds(seconds, flags.outstanding, put)).perSecond;

const secondsBefore = flags.warmUpSeconds + TOPS * TOP_SECONDS;
const progress = new Progress({
  ...{ total: secondsBefore + windows * windowSeconds, unitMs: 1000 },
});
progress.at(0, 'warming');
await closedLoop(flags.warmUpSeconds);
progress.at(flags.warmUpSeconds, 'looking for the top');
const tops: number[] = [];
for (let i = 0; i < TOPS; i += 1) tops.push(await closedLoop(TOP_SECONDS));
const top = median(tops);
const perSecond = top * flags.share;
progress.say(`top: ${rounded(top)} per second; from now on ${rounded(perSecond)}`);

/** Since the latest window began. */
let window = { sinceMs: performance.now(), served: 0, standstillMs: 0 };
let answeredMs = performance.now();
const rows: Record<string, number>[] = [];
const dueWindows = new DueWindows<Seen>({
  callsPerWindow: perSecond * windowSeconds,
  nothing: () => ({ latencies: createHistogram({ figures: 3 }), failed: 0, atEnd: null }),
  onOver: ({ seen }) => {
    seen.atEnd = atEnd();
  },
  onWhole,
});

function atEnd(): AtEnd {
  const nowMs = performance.now();
  const { sinceMs, served, standstillMs } = window;
  window = { sinceMs: nowMs, served: 0, standstillMs: 0 };
  const pids = cluster.running.map(({ pid }) => pid ?? 0);
  const resident = pids.map((pid) => memoryUse(pid));
  return {
    'served per second': rounded((served * 1000) / (nowMs - sinceMs)),
    'longest without an answer ms': rounded(Math.max(standstillMs, nowMs - answeredMs), 1),
    'MiB of a replica': rounded(Math.max(...resident.map((one) => one.residentBytes)) / MiB),
    'of it anonymous': rounded(Math.max(...resident.map((one) => one.anonymousBytes)) / MiB),
    'MiB written': rounded(Math.max(...pids.map(diskBytesWritten)) / MiB),
  };
}

function onEnd({ number, dueMs, endedMs, failure }: EndedCall): void {
  const seen = dueWindows.seenBy(number);
  window.standstillMs = Math.max(window.standstillMs, endedMs - answeredMs);
  answeredMs = endedMs;
  if (failure === null) {
    window.served += 1;
    seen.latencies.record(Math.max(1, Math.round((endedMs - dueMs) * 1000)));
  } else {
    if (seen.failed === 0) progress.say(asBalsaError(failure.cause).message);
    seen.failed += 1;
  }
  dueWindows.ended(number);
}

function onWhole({ index, seen: { latencies, failed, atEnd } }: DueWindow<Seen>): void {
  const msAt = (percent: number): number => rounded(latencies.percentile(percent) / 1000, 1);
  const row = {
    minute: rounded(((index + 1) * windowSeconds) / 60, 1),
    ...{ due: latencies.count + failed, failed },
    ...{ 'p50 ms': msAt(50), 'p99 ms': msAt(99), 'p99.9 ms': msAt(99.9), 'max ms': msAt(100) },
    ...atEnd,
  };
  rows.push(row);
  progress.say(JSON.stringify(row));
}

await openLoop({
  ...{ seconds: windows * windowSeconds, perSecond, call: put, onEnd },
  onBegin: ({ number }) => {
    dueWindows.begin(number);
    progress.at(secondsBefore + number / perSecond, 'open loop');
  },
});
dueWindows.over();
progress.end();
report('bench:endurance', rows, flags.json);

/** Of the last third to the first. */
const drift = (name: string): number => {
  const values = rows.map((row) => row[name] ?? Number.NaN);
  const third = Math.max(1, Math.floor(values.length / 3));
  return rounded(median(values.slice(-third)) / median(values.slice(0, third)), 2);
};
const names = ['p50 ms', 'p99 ms', 'p99.9 ms', 'MiB of a replica', 'of it anonymous'];
console.log(
  `last third to first: ${names.map((name) => `${name} ${drift(name)}`).join(', ')}; ` +
    `longest without an answer: ${Math.max(...rows.map((row) => row['longest without an answer ms'] ?? 0))} ms`,
);
if (flags.html !== undefined) writeFileSync(flags.html, page());

function page(): string {
  const ticks = rows.map(({ minute = 0 }, i) =>
    i % Math.ceil(rows.length / 10) === 0 ? String(minute) : '',
  );
  const lines = (...of: string[]) =>
    of.map((name) => ({ name, values: rows.map((row) => row[name] ?? Number.NaN) }));
  const plots = [
    plot('latency in ms, by minute', lines('p50 ms', 'p99 ms', 'p99.9 ms'), ticks),
    plot('stops in ms, by minute', lines('max ms', 'longest without an answer ms'), ticks),
    plot('memory in MiB, by minute', lines('MiB of a replica', 'of it anonymous'), ticks),
    plot('served per second, by minute', lines('served per second'), ticks),
  ];
  const what = `${rounded(perSecond)} puts per second, ${flags.share} of ${rounded(top)}; history of ${HISTORY_MS / 1000} s`;
  const body = `<h1>${safe(what)}</h1><div class="plots">${plots.join('')}</div>`;
  return htmlDocument('Balsa: endurance', body);
}
