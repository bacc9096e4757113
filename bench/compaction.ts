import type { Client } from '../src/client/client.js';
import { LocalCluster } from '../src/cluster/local-cluster.js';
import { amount, benchFlags, count } from './harness/flags.js';

/**
 * `npm run bench:compaction`: a history of many versions is written and compacted. Shown: what the store takes on
 * the disk before and after, and what the sweep costs those who write meanwhile, as a ratio.
 */
const flags = benchFlags('bench:compaction', {
  versions: count(100_000, 'that are written'),
  keys: count(500, 'of which they are versions'),
  valueBytes: count(1024, 'of each'),
  reclaimSeconds: amount(60, 'within which the disk must have got the space back'),
});
const { versions, keys } = flags;
const OUTSTANDING = 128;
const MiB = 1024 * 1024;

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

async function show(db: Client, when: string): Promise<number> {
  const { revision, compactedRevision, sweptRevision, spaceBytes, diskBytes } = await db.info();
  const space = `${(spaceBytes / MiB).toFixed(1)} MiB of keys, values and history`;
  const disk = `${(diskBytes / MiB).toFixed(1)} MiB on the disk`;
  const at = `revision ${revision}, compacted ${compactedRevision}, swept ${sweptRevision}`;
  process.stdout.write(`${when}: ${space}, ${disk} (${at})\n`);
  return diskBytes;
}

await using cluster = await LocalCluster.start();
await using db = await cluster.connect({ timeoutMs: 30_000 });
const without = await puts(db, (done) => done < versions);
const before = await show(db, 'before');
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
const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
process.stdout.write(
  `swept in ${seconds} s; puts per second without a sweep ${without.toFixed(0)}, beside it ${during.toFixed(0)}: ` +
    `${(during / without).toFixed(2)}\n`,
);
await show(db, 'swept');
const deadlineMs = performance.now() + flags.reclaimSeconds * 1000;
while ((await db.info()).diskBytes > before / 2 && performance.now() < deadlineMs) {
  await new Promise((resolve) => setTimeout(resolve, 500));
}
await show(db, 'after');
