import { parentPort, workerData } from 'node:worker_threads';
import { assert, unreachable } from '../../base/assert.js';
import { toBytes } from '../../base/bytes.js';
import type { CallRecord } from '../../base/call.js';
import { systemClock } from '../../base/clock.js';
import type { Mode } from '../../base/operation.js';
import type { Bundle, Execution, ProcedureCall, Source } from '../execution.js';
import { runGroup } from '../group-runner.js';
import { LaneCache } from '../lane-cache.js';
import { type Given, isForeseeable } from './foresight.js';
import {
  type FromWorker,
  packKeys,
  packMembers,
  type Question,
  type ToWorker,
  toPlain,
  unpackAllFound,
  unpackCell,
  unpackFound,
  unpackGiven,
  unpackGroup,
  unpackNews,
  unpackScan,
} from './messages.js';
import { NewestCheckpoint } from './newest-checkpoint.js';
import { AnswerReader } from './shared-answer.js';
import { ownThread } from './thread-cpu.js';
import { BACKGROUND, lowerPriority } from './thread-priority.js';
import { Vm } from './vm.js';

/** A thread of its own for procedures, whose code never runs beside that of the replica. */

assert(parentPort !== null, 'this file is the code of a worker thread');
type RunOne = Extract<ToWorker, { type: 'run' }>;
type RunGroup = Extract<ToWorker, { type: 'run-group' }>;
/** Code that could not be loaded, it may be for lack of time, would else hold up others for as long with each call. */
const UNLOADED_MS = 10_000;
const NOTHING_GIVEN: Given = { found: [], cells: [] };

const port = parentPort;
const answers = new AnswerReader(workerData as SharedArrayBuffer);
const bundles = new Map<string, Bundle>();
const vms = new Map<string, Vm>();
/** Of those whose code cannot be loaded: until when it is not tried again. */
const unloadedUntilMs = new Map<string, number>();
const cache = new LaneCache();

const say = (message: FromWorker): void => port.postMessage(message);

const ask = (question: Question): Buffer =>
  answers.read(
    () => say({ type: 'ask', question }),
    () => say({ type: 'go-on' }),
  );

/** The store, which is in the other thread. */
const source: Source = {
  get: (key) => unpackFound(ask({ type: 'get', key })),
  scan: (query) => unpackScan(ask({ type: 'scan', ...query })),
  cell: (key) => unpackCell(ask({ type: 'cell', key })),
};

function bundleOf(hash: string): Bundle {
  const bundle = bundles.get(hash);
  assert(bundle !== undefined, 'a worker has the code that it is asked to run');
  return bundle;
}

/** @param n which call it is, of those that were sent */
async function vmOf({ bundle, limits }: ProcedureCall, n: number): Promise<Vm> {
  const { hash } = bundle;
  const known = vms.get(hash);
  const nowMs = systemClock.monotonicMs();
  if (known !== undefined && nowMs < (unloadedUntilMs.get(hash) ?? Number.POSITIVE_INFINITY))
    return known;
  answers.load(n);
  const vm = await Vm.make(bundle, limits, systemClock);
  answers.loaded();
  vms.set(hash, vm);
  if (vm.isLoaded) unloadedUntilMs.delete(hash);
  else unloadedUntilMs.set(hash, systemClock.monotonicMs() + UNLOADED_MS);
  return vm;
}

/** @param n which call it is, of those that were sent */
async function run(call: ProcedureCall, n: number, mode: Mode, from: Source): Promise<Execution> {
  const { hash } = call.bundle;
  const vm = await vmOf(call, n);
  answers.begin(n);
  const execution = vm.run(call, mode, from);
  if (vm.isSpent && vm.isLoaded) vms.delete(hash);
  return execution;
}

/** So many keys at once: the replica does nothing else meanwhile. */
const AHEAD_MAX = 256;

/** What calls will probably read and is not at hand is asked for in one question. */
async function fetchAhead(
  calls: readonly ProcedureCall[],
  kept: LaneCache,
  isWanted: (key: Uint8Array) => boolean = (key) => key.byteLength > 0,
): Promise<void> {
  const wanted = new Map<string, Uint8Array>();
  for (const [n, call] of calls.entries()) {
    for (const key of (await vmOf(call, n)).predict(call)) {
      const bytes = toBytes(key);
      if (wanted.size < AHEAD_MAX && isWanted(bytes) && !kept.has(bytes)) wanted.set(key, bytes);
    }
  }
  // One is as well asked for when it is read.
  if (wanted.size < 2) return;
  const keys = [...wanted.values()];
  try {
    const found = unpackAllFound(ask({ type: 'get-many', keys: packKeys(keys) }));
    for (const [i, key] of keys.entries()) kept.take(key, found[i] ?? null);
  } catch {
    // A guess: whoever does read one of them is told what is wrong.
  }
}

async function runOne({ call: { hash, ...call }, mode, given }: RunOne): Promise<void> {
  const whole = { bundle: bundleOf(hash), ...call };
  const { found, cells } = given === null ? NOTHING_GIVEN : unpackGiven(given);
  const own = new LaneCache();
  for (const [key, one] of found) own.take(key, one);
  await fetchAhead([whole], own, isForeseeable);
  const known = new Map(cells);
  const looked = new Set<string>();
  const cell = (key: string): Uint8Array | null => {
    looked.add(key);
    const there = known.get(key);
    if (there !== undefined) return there;
    // What is read later is not older: what was given is of the time before.
    known.clear();
    return source.cell(key);
  };
  const newest = new NewestCheckpoint(systemClock, (json) => say({ type: 'checkpoint', json }));
  // Where there is no task nobody goes on from it.
  const checkpoint = (json: string): void => {
    if (call.task !== undefined) newest.made(json);
  };
  const execution = await run(whole, 0, mode, { ...own.over(source), cell, checkpoint });
  newest.flush();
  say({ type: 'ran', execution: toPlain(execution), cells: [...looked] });
}

async function runMany({ group, limits, bounds, news }: RunGroup): Promise<void> {
  cache.heed(unpackNews(news));
  const records: CallRecord[] = [];
  const calls = unpackGroup(group, limits, bundleOf);
  await fetchAhead(
    calls.map(({ call }) => call),
    cache,
  );
  const members = await runGroup(calls, cache.over(source), bounds, {
    monotonicMs: () => systemClock.monotonicMs(),
    run: (call, seen, n) => run(call, n, 'cp', seen),
    onRecord: (record) => void records.push(record),
  });
  cache.ran(records);
  const bytes = packMembers(members);
  port.postMessage({ type: 'ran-group', members: bytes } satisfies FromWorker, [
    bytes.buffer as ArrayBuffer,
  ]);
}

port.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'load':
      bundles.set(message.bundle.hash, message.bundle);
      break;
    case 'drop':
      bundles.delete(message.hash);
      vms.delete(message.hash);
      unloadedUntilMs.delete(message.hash);
      break;
    case 'run':
      // What fails here is no matter of the procedure: it ends the thread, and is told there.
      void runOne(message);
      break;
    case 'run-group':
      void runMany(message);
      break;
    default:
      unreachable(message);
  }
});

if (process.argv.includes(BACKGROUND)) lowerPriority();
say({ type: 'ready', thread: ownThread() });
