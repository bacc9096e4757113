import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Level } from 'level';
import { pack, unpack } from 'msgpackr';
import { keyOf } from '../../src/cli/bench/keys.js';
import { streamMessages } from './stream-limit.js';

/** What this machine gives to a program that does nothing else. */
export interface Limit {
  readonly what: string;
  readonly perSecond: number;
}

const PROBE_MS = 500;
const BATCH = 64;
const VALUE = Buffer.alloc(128, 'v');

/** The bounds that no store on this machine gets beyond, measured in the same run. */
export async function measureLimits(): Promise<Limit[]> {
  const folder = mkdtempSync(join(tmpdir(), 'balsa-bench-limits-'));
  try {
    return [
      { what: 'appends of 4 KiB, each with fdatasync', perSecond: syncs(folder) },
      {
        what: `LevelDB: puts in batches of ${BATCH}, not synced`,
        perSecond: await levelPuts(folder),
      },
      {
        what: 'gRPC: messages of 128 B there and back on one stream',
        perSecond: await streamMessages(PROBE_MS),
      },
      { what: 'msgpackr: one put packed and unpacked', perSecond: codec() },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function syncs(folder: string): number {
  const fd = openSync(join(folder, 'sync-probe'), 'w');
  const block = Buffer.alloc(4096, 1);
  try {
    return ratePerSecond(() => {
      writeSync(fd, block);
      fdatasyncSync(fd);
    });
  } finally {
    closeSync(fd);
  }
}

async function levelPuts(folder: string): Promise<number> {
  const db = new Level<string, Buffer>(join(folder, 'level'), { valueEncoding: 'buffer' });
  await db.open();
  const startedMs = performance.now();
  let count = 0;
  while (performance.now() - startedMs < PROBE_MS) {
    const batch = Array.from({ length: BATCH }, (_, i) => {
      return { type: 'put' as const, key: keyOf((count + i) * 7919), value: VALUE };
    });
    await db.batch(batch);
    count += BATCH;
  }
  const perSecond = (count * 1000) / (performance.now() - startedMs);
  await db.close();
  return perSecond;
}

function codec(): number {
  const put = { op: 'put', key: Buffer.from(keyOf(1)), value: VALUE };
  return ratePerSecond(() => unpack(pack(put)));
}

function ratePerSecond(once: () => unknown): number {
  const startedMs = performance.now();
  let count = 0;
  for (; performance.now() - startedMs < PROBE_MS; count += 1) once();
  return (count * 1000) / (performance.now() - startedMs);
}
