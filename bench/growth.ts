import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { keyOf } from '../src/cli/bench/keys.js';
import { benchFlags, count, counts, JSON_FILE, someOf, text } from './harness/flags.js';
import { type GrowthRow, growthPage } from './harness/growth-page.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { diskBytesWritten } from './harness/process-use.js';
import { Progress } from './harness/progress.js';
import { folderBytes, MiB, memoryUse, report, rounded } from './machine.js';
import { GROWN, type GrownKind } from './peers/grown.js';

/**
 * `npm run bench:growth -- --keys 10000,100000,1000000 --members 1,3,5`: what a store that grows takes of memory and disk, and how soon it serves
 * again when all of its members were killed; beside etcd, where that is installed. Keys are put one by one (etcd: 100 in a transaction).
 * Memory and disk are those of the largest member; write amplification is what all of them gave to their disks while keys were put, for each
 * byte of the keys and values that were put.
 */
const NAMES = GROWN.map(({ name }) => name);

const flags = benchFlags('bench:growth', {
  keys: counts([10_000, 100_000, 1_000_000], 'at which a store is looked at'),
  members: counts([3], 'of a cluster'),
  valueBytes: count(128, 'of each'),
  peers: someOf(NAMES, NAMES, 'who is measured'),
  html: text('curves, into this file'),
  json: JSON_FILE,
});
leaveNothingBehind();

const steps = flags.keys.toSorted((a, b) => a - b);
const { valueBytes } = flags;
/** No compression makes it small. */
const value = randomBytes(valueBytes);
const KEY_BYTES = keyOf(0).length;

const rows: GrowthRow[] = [];
const kinds = GROWN.filter(({ name }) => flags.peers.includes(name)).filter((kind) => {
  const missing = kind.missing();
  if (missing !== null) console.log(`not measured: ${kind.name}: ${missing}`);
  return missing === null;
});
const keysOfEach = steps.at(-1) ?? 0;
const progress = new Progress({ total: keysOfEach * kinds.length * flags.members.length });
let grown = 0;
for (const members of flags.members) {
  for (const kind of kinds) {
    await grow(kind, members);
    grown += 1;
  }
}
progress.end();
report('bench:growth', rows, flags.json);
if (flags.html !== undefined) writeFileSync(flags.html, growthPage(rows));

async function grow(kind: GrownKind, members: number): Promise<void> {
  await using store = await kind.start(members);
  let filled = 0;
  let written = 0;
  for (const keys of steps) {
    const doing = `${kind.name}, members: ${members}`;
    progress.at(grown * keysOfEach + filled, `${doing}: ${filled} to ${keys} keys`);
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
    progress.at(grown * keysOfEach + filled, `${doing}: killed and started`);
    const restartMs = await timed(() => store.restart(keys - 1));
    const bytesPut = keys * (KEY_BYTES + valueBytes);
    const row = {
      ...{ store: kind.name, members, keys, 'keys put per second': rounded(perSecond) },
      ...{ 'resident MiB': rounded(most / MiB), 'of it anonymous MiB': rounded(anonymous / MiB) },
      'resident bytes per key': rounded(most / keys),
      ...{ 'disk MiB': rounded(disk / MiB), 'disk bytes per key': rounded(disk / keys) },
      'disk bytes per byte put': rounded(disk / bytesPut, 2),
      'write amplification': rounded(written / bytesPut, 1),
      'of it by each member': rounded(written / members / bytesPut, 1),
      'served again after s': rounded(restartMs / 1000, 1),
    };
    rows.push(row);
    progress.say(JSON.stringify(row));
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
