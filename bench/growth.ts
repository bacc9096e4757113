import { randomBytes } from 'node:crypto';
import { keyOf } from '../src/cli/bench/keys.js';
import { benchFlags, count, counts, JSON_FILE, someOf } from './harness/flags.js';
import { diskBytesWritten } from './harness/process-use.js';
import { folderBytes, MiB, memoryUse, report, rounded } from './machine.js';
import { GROWN, type GrownKind } from './peers/grown.js';

/**
 * `npm run bench:growth -- --keys 10000,100000,1000000 --members 1,3,5`: what a store that grows takes of memory and disk, and how soon it serves
 * again when all of its members were killed; beside etcd, where that is installed. Keys are put one by one (etcd: 100 in a transaction).
 */
const NAMES = GROWN.map(({ name }) => name);

const flags = benchFlags('bench:growth', {
  keys: counts([10_000, 100_000, 1_000_000], 'at which a store is looked at'),
  members: counts([3], 'of a cluster'),
  valueBytes: count(128, 'of each'),
  peers: someOf(NAMES, NAMES, 'who is measured'),
  json: JSON_FILE,
});

const steps = flags.keys.toSorted((a, b) => a - b);
const { valueBytes } = flags;
/** No compression makes it small. */
const value = randomBytes(valueBytes);
const KEY_BYTES = keyOf(0).length;

const rows: Record<string, string | number>[] = [];
for (const members of flags.members) {
  for (const kind of GROWN.filter(({ name }) => flags.peers.includes(name))) {
    const missing = kind.missing();
    if (missing === null) await grow(kind, members);
    else console.log(`not measured: ${kind.name}: ${missing}`);
  }
}
report('bench:growth', rows, flags.json);

async function grow(kind: GrownKind, members: number): Promise<void> {
  await using store = await kind.start(members);
  let filled = 0;
  let written = 0;
  for (const keys of steps) {
    const writtenBefore = sum(store.serverPids.map(diskBytesWritten));
    const startedMs = performance.now();
    await store.fill(filled, keys - filled, value);
    const seconds = (performance.now() - startedMs) / 1000;
    const perSecond = (keys - filled) / seconds;
    written += sum(store.serverPids.map(diskBytesWritten)) - writtenBefore;
    filled = keys;
    const memory = store.serverPids.map(memoryUse);
    const most = Math.max(...memory.map(({ residentBytes }) => residentBytes));
    const anonymous = Math.max(...memory.map(({ anonymousBytes }) => anonymousBytes));
    const disk = Math.max(...store.dataFolders.map(folderBytes));
    const restartMs = await timed(() => store.restart(keys - 1));
    const row = {
      ...{ store: kind.name, members, keys, 'keys put per second': rounded(perSecond) },
      ...{ 'resident MiB': rounded(most / MiB), 'of it anonymous MiB': rounded(anonymous / MiB) },
      'disk MiB': rounded(disk / MiB),
      'disk bytes per byte put': rounded(disk / (keys * (KEY_BYTES + valueBytes)), 2),
      'written per byte put and member': rounded(
        written / members / (keys * (KEY_BYTES + valueBytes)),
        1,
      ),
      'served again after s': rounded(restartMs / 1000, 1),
    };
    rows.push(row);
    console.log(JSON.stringify(row));
  }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
