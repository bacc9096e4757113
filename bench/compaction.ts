import type { Client } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { amount, benchFlags, count, JSON_FILE } from './harness/flags.js';
import { leaveNothingBehind } from './harness/interrupt.js';
import { MiB, report, rounded } from './machine.js';

/**
 * `npm run bench:compaction`: a history of many versions is written and compacted. Shown: what the store takes on
 * the disk before and after, and what the sweep costs those who write meanwhile, as a ratio.
 */
const flags = benchFlags('bench:compaction', {
  versions: count(100_000, 'that are written'),
  keys: count(500, 'of which they are versions'),
  valueBytes: count(1024, 'of each'),
  reclaimSeconds: amount(60, 'within which the disk must have got the space back'),
  json: JSON_FILE,
});
leaveNothingBehind();
const { versions, keys } = flags;
const OUTSTANDING = 128;

/** Values that no compression makes small. */
const bytesOf = (i: number): Buffer => {
  const value = Buffer.alloc(flags.valueBytes);
  for (let at = 0; at + 4 <= value.length; at += 4) {
    value.writeUInt32LE(Math.imul(i * 7919 + at, 2_654_435_761) >>> 0, at);
  }
  return value;
};

async function puts(db: Client, goesOn: (done: number) => boolean): Promise<number> {
  const startedMs = performance.now();
  let next = 0;
  const loop = async (): Promise<void> => {
    while (goesOn(next)) {
      next += 1;
      await db.put(`key ${next % keys}`, bytesOf(next));
    }
  };
  await Promise.all(Array.from({ length: OUTSTANDING }, loop));
  return next / ((performance.now() - startedMs) / 1000);
}

const rows: Record<string, string | number>[] = [];

async function note(db: Client, when: string, more: Readonly<Record<string, string | number>>) {
  const { revision, compactedRevision, sweptRevision, spaceBytes, diskBytes } = await db.info();
  const row = {
    ...{ when, revision, compacted: compactedRevision, swept: sweptRevision },
    'MiB of keys, values and history': rounded(spaceBytes / MiB, 1),
    'MiB on the disk': rounded(diskBytes / MiB, 1),
    ...more,
  };
  rows.push(row);
  console.log(JSON.stringify(row));
  return diskBytes;
}

await using cluster = await LocalCluster.start();
await using db = await cluster.connect({ timeoutMs: 30_000 });
// The first half is not measured: what is compiled while it runs is slow at first.
const half = versions / 2;
await puts(db, (done) => done < half);
const without = await puts(db, (done) => done < half);
const before = await note(db, 'before', { 'puts per second': rounded(without) });
const { compactedRevision } = await db.compact();
let isSwept = false;
const startedMs = performance.now();
const sweeping = (async (): Promise<void> => {
  while (!isSwept) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    isSwept = (await db.info()).sweptRevision >= compactedRevision;
  }
})();
const during = await puts(db, () => !isSwept);
await sweeping;
const seconds = (performance.now() - startedMs) / 1000;
await note(db, 'swept', {
  ...{ 'puts per second': rounded(during), 'to those before': rounded(during / without, 2) },
  'swept in s': rounded(seconds, 1),
});
const deadlineMs = performance.now() + flags.reclaimSeconds * 1000;
while ((await db.info()).diskBytes > before / 2 && performance.now() < deadlineMs) {
  await new Promise((resolve) => setTimeout(resolve, 500));
}
await note(db, 'after', {});
report('bench:compaction', rows, flags.json);
