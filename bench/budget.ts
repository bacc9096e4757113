import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { bundleOf } from './bundle-of.js';
import { forEach, forSeconds, scattered } from './closed-loop.js';
import { htmlDocument, table } from './harness/document.js';
import { amount, benchFlags, count, JSON_FILE, oneOf, text } from './harness/flags.js';
import { FLAME_STYLE, flameGraph } from './harness/flame.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { safe } from './harness/plot.js';
import { systemCalls } from './harness/process-use.js';
import { AGENT_FOLDER, agentFile } from './harness/profile-agent.js';
import { ProfilerSession, type Recording } from './harness/profiler.js';
import { byStage, callsOfAllocated, callsOfProcessor, STAGES } from './harness/stages.js';
import { THREADS, type ThreadUse, threadUse } from './harness/thread-use.js';
import { report, rounded } from './machine.js';
import { TRANSFER, VIEW } from './procedure-code.js';

/**
 * `npm run bench:budget`: where the time of one put (or get, range of 100 keys, call, `read` or `ap` call) goes, in microseconds of CPU time, at the leader, at a follower (the mean of
 * them) and in the client, three replicas. What each thread takes is read from /proc while nobody looks; then the main threads are
 * profiled, and their time is divided as the samples are, by the files that they fall in; then what they allocate. `--html FILE` draws flame
 * graphs, `--keep FOLDER` leaves the profiles, for other viewers.
 */
const OPERATIONS = ['put', 'get', 'range', 'call', 'read', 'ap'] as const;

const flags = benchFlags('bench:budget', {
  operation: oneOf(OPERATIONS, 'put', 'what is profiled'),
  outstanding: count(256, 'at a time'),
  seconds: amount(10, 'of each recording'),
  warmUpSeconds: amount(40, 'before, not counted'),
  keys: count(10_000, 'that are there'),
  valueBytes: count(128, 'of each'),
  html: text('flame graphs, into this file'),
  keep: text('a folder for the profiles, for other viewers'),
  json: JSON_FILE,
});
leaveNothingBehind();
type Operation = (typeof OPERATIONS)[number];

if (process.platform !== 'linux') {
  console.error('bench:budget reads what threads take from /proc: it runs on Linux only');
  process.exit(2);
}
const what = flags.operation;
const { seconds, keys } = flags;
/** A recording of some seconds is written in one go. */
const WRITTEN_MS_MAX = 60_000;

const profiles = mkdtempSync(join(tmpdir(), 'balsa-bench-'));
const agent = new URL('./harness/profile-agent.js', import.meta.url);
await using cluster = await LocalCluster.start({
  logLevel: 'warn',
  env: { NODE_OPTIONS: `--import ${agent}`, [AGENT_FOLDER]: profiles },
});
await using db = await cluster.connect({ timeoutMs: 60_000 });

const CODE = `import { ap, counter, procedure, read } from 'balsa/procedures';
${TRANSFER}
${VIEW}
export const balance = read({ handler: (ctx, key: string) => ctx.get<number>(key) });`;
const CALLS: readonly Operation[] = ['call', 'read', 'ap'];
const RANGE_KEYS = 100;
const VALUE = Buffer.alloc(flags.valueBytes, 'v');
const key = (i: number): string => scattered(i, keys);
const operations: Readonly<Record<Operation, (i: number) => Promise<unknown>>> = {
  put: (i) => db.put(key(i), VALUE),
  get: (i) => db.get(key(i)),
  range: async (i) => {
    for await (const _ of db.range({ from: key(i), limit: RANGE_KEYS }));
  },
  call: (i) => db.call('transfer', { from: key(i), to: key(i + 1), amount: 1 }),
  read: (i) => db.call('balance', key(i)),
  ap: (i) => db.call('view', i % 100, { consistency: 'ap-local' }),
};
const isCall = CALLS.includes(what);
if (isCall) await db.procedures.deploy(await bundleOf(CODE));
const first = isCall ? '1000' : VALUE;
await forEach(keys, 1024, (i) => db.put(key(i), first));
const load = (forS: number) => forSeconds(forS, flags.outstanding, operations[what]);

interface Place {
  readonly name: 'leader' | 'follower' | 'client';
  readonly pid: number;
  readonly folder: string | null;
}

await load(flags.warmUpSeconds);
const leader = await cluster.leader();
const places: Place[] = cluster.replicas.map(({ name, pid }) => {
  if (pid === null) throw new Error(`replica ${name} does not run`);
  return { name: name === leader ? 'leader' : 'follower', pid, folder: profiles };
});
places.push({ name: 'client', pid: process.pid, folder: null });
const replicas = places.filter(({ folder }) => folder !== null);

interface Reading {
  readonly use: ThreadUse;
  readonly system: number;
}

const read = (): Reading[] =>
  places.map(({ pid, folder }) => ({ use: threadUse(pid, folder), system: systemCalls(pid) }));
const before = read();
const { calls, perSecond } = await load(seconds);
const after = read();
const delays = await Promise.all(
  cluster.replicas.map(async (one) => (await cluster.status(one.name)).process.eventLoopDelayMs),
);

const own = new ProfilerSession();
const nextStep = (): void => {
  for (const { pid } of replicas) process.kill(pid, 'SIGUSR2');
};
nextStep();
await own.startProcessor();
await load(seconds);
nextStep();
await own.startAllocated();
const allocating = await load(seconds);
nextStep();
const ownRecording = await own.stop();

async function recordingOf({ pid, folder }: Place): Promise<Recording> {
  if (folder === null) return ownRecording;
  const file = join(folder, agentFile.recording(pid));
  const lastMs = performance.now() + WRITTEN_MS_MAX;
  while (performance.now() < lastMs) {
    if (existsSync(file)) {
      const text = readFileSync(file, 'utf8');
      if (text.endsWith('}')) return JSON.parse(text) as Recording;
    }
    await sleep(100);
  }
  throw new Error(`process ${pid} has left no recording`);
}

interface Measured extends Place {
  readonly recording: Recording;
  readonly before: Reading;
  readonly after: Reading;
  /** Not known of the client. */
  readonly delayMs: number;
}

function at<T>(list: readonly T[], i: number): T {
  const item = list[i];
  if (item === undefined) throw new Error(`nothing was measured at place ${i}`);
  return item;
}

const measured: Measured[] = [];
for (const [i, place] of places.entries()) {
  const readings = { before: at(before, i), after: at(after, i), delayMs: delays[i] ?? Number.NaN };
  measured.push({ ...place, ...readings, recording: await recordingOf(place) });
}

/** Row by row. */
function budgetOf(of: Measured): ReadonlyMap<string, number> {
  const micros = (thread: keyof ThreadUse): number =>
    ((of.after.use[thread] - of.before.use[thread]) * 1e6) / calls;
  const rows = new Map<string, number>();
  const stages = byStage(callsOfProcessor(of.recording.processor));
  const samples = total(stages.values());
  for (const stage of STAGES) {
    rows.set(stage, (micros('main') * (stages.get(stage) ?? 0)) / samples);
  }
  for (const thread of THREADS) if (thread !== 'main') rows.set(thread, micros(thread));
  rows.set('all, µs', total(rows.values()));
  const allocated = total(byStage(callsOfAllocated(of.recording.allocated)).values());
  rows.set('allocated by the main thread, bytes', allocated / allocating.calls);
  const system = (of.after.system - of.before.system) / calls;
  rows.set('reads and writes asked of the system', system);
  rows.set('longest delay of the event loop, ms', of.delayMs);
  return rows;
}

function total(values: Iterable<number>): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}

const budgets = measured.map((one) => ({ name: one.name, rows: budgetOf(one) }));
const mean = (name: Place['name'], row: string): number => {
  const found = budgets.filter((one) => one.name === name);
  return rounded(total(found.map(({ rows }) => rows.get(row) ?? 0)) / found.length, 2);
};
const labels = [...(budgets[0]?.rows.keys() ?? [])];
const rows = labels.map((label) => ({
  [`one ${what}, µs of CPU time`]: label,
  ...{ leader: mean('leader', label), follower: mean('follower', label) },
  client: mean('client', label),
}));
console.log(`${rounded(perSecond)} per second with ${flags.outstanding} outstanding`);
report('bench:budget', rows, flags.json);

function page(): string {
  const graphs = measured.map(({ name, pid, recording: { processor, allocated } }) => {
    const title = `${name}, process ${pid}`;
    return `<h2>${title}: CPU time of the main thread</h2>${flameGraph(title, callsOfProcessor(processor))}
<h2>${title}: bytes allocated by the main thread</h2>${flameGraph(title, callsOfAllocated(allocated))}`;
  });
  const title = `Where the time of one ${what} goes`;
  const facts = `${rounded(perSecond)} per second with ${flags.outstanding} outstanding, three replicas.`;
  const body = `<h1>${title}</h1><p>${safe(facts)}</p>${table(rows)}${graphs.join('')}`;
  return htmlDocument(`Balsa: ${title}`, body, FLAME_STYLE);
}

if (flags.html !== undefined) writeFileSync(flags.html, page());
if (flags.keep !== undefined) {
  mkdirSync(flags.keep, { recursive: true });
  for (const { name, pid, recording } of measured) {
    const file = join(flags.keep, `${name}-${pid}`);
    writeFileSync(`${file}.cpuprofile`, JSON.stringify(recording.processor));
    writeFileSync(`${file}.heapprofile`, JSON.stringify(recording.allocated));
  }
}
rmSync(profiles, { recursive: true });
