import { type ChildProcess, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { DiskError } from '../cluster/disk-file.js';
import type { Cause, End } from '../cluster/ends.js';
import type { Machine } from '../cluster/machine.js';
import { during, type Nemesis, type Stage, shuffled } from './nemesis.js';

let lastError = 0;

const CAUSES = { EIO: 'disk-failed', ENOSPC: 'disk-full' } as const;

/** On a busy machine it takes a while to end, in milliseconds. */
const END_MS_MAX = 10_000;

function endMs({ holdMs }: Stage): number {
  return Math.max(holdMs, END_MS_MAX);
}

/** @returns how it ended; `null`: it did not */
async function endWithin(
  { system, sleep }: Stage,
  node: string,
  { cause, ms }: { readonly cause: Cause; readonly ms: number },
): Promise<End | null> {
  return Promise.race([system.ends(node, cause), sleep(ms).then(() => null)]);
}

/** A disk that fails ends its replica, which is started again when the disk is whole. */
async function failDisk(stage: Stage, name: string, error: Omit<DiskError, 'id'>): Promise<void> {
  const { system } = stage;
  const [node] = stage.take(1);
  if (node === undefined) return;
  await during(stage, { name, nodes: [node], detail: error }, async () => {
    lastError += 1;
    const over = endWithin(stage, node, { cause: CAUSES[error.code], ms: endMs(stage) });
    system.disk(node).set({ errors: [{ id: lastError, ...error }] });
    if ((await over) === null) stage.missed(`${name}: the replica went on`);
    else stage.count(`${name}: the replica ended`);
    system.disk(node).set({});
    if (!system.cluster.replica(node).running) await system.start(node);
  });
}

export const diskSyncError: Nemesis = {
  name: 'disk-sync-error',
  about: 'one fdatasync fails with EIO: the replica ends, and comes back',
  claims: ['disk'],
  episode: (stage) => failDisk(stage, 'disk-sync-error', { step: 'sync', code: 'EIO' }),
};

export const diskWriteError: Nemesis = {
  name: 'disk-write-error',
  about: 'one write fails with EIO',
  claims: ['disk'],
  episode: (stage) => failDisk(stage, 'disk-write-error', { step: 'write', code: 'EIO' }),
};

export const diskFull: Nemesis = {
  name: 'disk-full',
  about: 'all writes fail with ENOSPC for a while',
  claims: ['disk'],
  episode: (stage) => failDisk(stage, 'disk-full', { step: 'write', code: 'ENOSPC', times: null }),
};

export const diskStall: Nemesis = {
  name: 'disk-stall',
  about: 'each fdatasync takes 50 ms to 5 s',
  episode: async (stage) => {
    const { system, random } = stage;
    const leader = await system.leader();
    const nodes = stage.take(1, random.int(2) === 0 && leader !== null ? [leader] : undefined);
    if (nodes.length === 0) return;
    const syncDelayMs = Math.round(50 * 100 ** random.next());
    await during(stage, { name: 'disk-stall', nodes, detail: { syncDelayMs } }, async () => {
      for (const node of nodes) system.disk(node).set({ syncDelayMs });
      await stage.sleep(stage.holdMs);
      for (const node of nodes) system.disk(node).set({});
    });
  },
};

// ---------------------------------------------------------------------------------------------
// Damage. One replica at a time, and the next one only when that has all its data again.

const CATCH_UP_MS_MAX = 60_000;

/** @returns whether it has */
export async function untilCaughtUp(stage: Stage, node: string): Promise<boolean> {
  const untilMs = performance.now() + CATCH_UP_MS_MAX;
  while (performance.now() < untilMs && !stage.signal.aborted) {
    if (await stage.system.hasCaughtUp(node)) return true;
    await stage.sleep(200);
  }
  return false;
}

/** What is damaged now is there elsewhere: else it would be lost for good, and nobody to blame. */
async function isWhole({ system, missed }: Stage): Promise<boolean> {
  for (const name of system.names) {
    if (await system.hasCaughtUp(name)) continue;
    missed('no damage: another one has not all its data');
    return false;
  }
  return true;
}

type Area = 'wal' | 'state' | 'deltas';

function filesOf(dataFolder: string, area: Area): string[] {
  const below = (folder: string): string[] =>
    existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  if (area === 'wal') return below(join(dataFolder, 'wal'));
  if (area === 'deltas') return below(join(dataFolder, 'ap'));
  const states = existsSync(dataFolder)
    ? readdirSync(dataFolder).filter((name) => name.startsWith('state-'))
    : [];
  return states.flatMap((name) => below(join(dataFolder, name))).filter((p) => !p.endsWith('LOCK'));
}

/** @returns the file, or `null`: there was nothing to damage */
function flipBits(stage: Stage, dataFolder: string, area: Area, part: number): string | null {
  const { random } = stage;
  const files = filesOf(dataFolder, area).filter((path) => statSync(path).size > 0);
  const path = files[Math.min(files.length - 1, Math.floor(part * files.length))];
  if (path === undefined) return null;
  const bytes = readFileSync(path);
  const count = 1 + random.int(4);
  for (let i = 0; i < count; i += 1) {
    const at = random.int(bytes.byteLength);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.int(8));
  }
  writeFileSync(path, bytes);
  return path.slice(dataFolder.length + 1);
}

/** @returns whether it has all its data again */
async function damage(stage: Stage, node: string, area: Area, part: number): Promise<boolean> {
  const { system } = stage;
  const { dataFolder } = system.cluster.replica(node);
  await system.kill(node);
  system.damaged(node);
  const file = flipBits(stage, dataFolder, area, part);
  if (file === null) stage.missed(`flipped bits in ${area}: nothing there`);
  else stage.count(`flipped bits in ${area}`);
  await system.start(node);
  return await untilCaughtUp(stage, node);
}

export const diskFlip: Nemesis = {
  name: 'disk-flip',
  about: 'bits turn over in the log, the state or the queue of deltas of a replica that was killed',
  claims: ['disk'],
  episode: async (stage) => {
    const [node] = stage.take(1);
    if (node === undefined || !(await isWhole(stage))) return;
    const area = (['wal', 'state', 'state', 'deltas'] as const)[stage.random.int(4)] ?? 'wal';
    await during(stage, { name: 'disk-flip', nodes: [node], detail: { area } }, async () => {
      await damage(stage, node, area, stage.random.next());
    });
  },
};

export const diskHelix: Nemesis = {
  name: 'disk-helix',
  about:
    'one replica after the other is damaged, each at another part of its data, until none is as it was',
  claims: ['disk', 'all'],
  episode: async (stage) => {
    const nodes = shuffled(stage.random, stage.take(stage.system.names.length));
    if (nodes.length < stage.system.names.length || !(await isWhole(stage))) return;
    await during(stage, { name: 'disk-helix', nodes }, async () => {
      for (const [i, node] of nodes.entries()) {
        if (stage.signal.aborted) return;
        const area = i % 2 === 0 ? 'wal' : 'state';
        if (!(await damage(stage, node, area, i / nodes.length))) return;
        if (!(await isWhole(stage))) return;
      }
    });
  },
};

export const diskRollback: Nemesis = {
  name: 'disk-rollback',
  about: 'the log of a replica is put back to what it was some seconds ago',
  claims: ['disk'],
  episode: async (stage) => {
    const { system } = stage;
    const [node] = stage.take(1);
    if (node === undefined || !(await isWhole(stage))) return;
    const { dataFolder } = system.cluster.replica(node);
    const wal = join(dataFolder, 'wal');
    const before = `${dataFolder}.before`;
    await during(stage, { name: 'disk-rollback', nodes: [node] }, async () => {
      await system.stop(node);
      cpSync(wal, before, { recursive: true });
      await system.start(node);
      await stage.sleep(Math.max(3000, stage.holdMs));
      await untilCaughtUp(stage, node);
      // In order: what it has applied is in its state then, and so it can know that a part of its log is missing.
      await system.stop(node);
      system.damaged(node);
      rmSync(wal, { recursive: true });
      cpSync(before, wal, { recursive: true });
      rmSync(before, { recursive: true });
      await system.start(node);
      await untilCaughtUp(stage, node);
    });
  },
};

export const diskWipe: Nemesis = {
  name: 'disk-wipe',
  about: 'a replica loses its whole disk, and gets its data anew from the others',
  claims: ['disk'],
  episode: async (stage) => {
    const { system } = stage;
    const [node] = stage.take(1);
    if (node === undefined || !(await isWhole(stage))) return;
    await during(stage, { name: 'disk-wipe', nodes: [node] }, async () => {
      await system.kill(node);
      system.damaged(node);
      system.deleteData(node);
      await system.start(node);
      await untilCaughtUp(stage, node);
    });
  },
};

// ---------------------------------------------------------------------------------------------
// Below the replica: the kernel itself answers with the error, to LevelDB, too.

function lacksStrace({ strace }: Machine): string | null {
  return strace ? null : 'strace is not installed';
}

/** Lets strace meddle with the syncs of a process until it is ended. */
function meddle(pid: number, inject: string): ChildProcess {
  const traced = 'fsync,fdatasync';
  const args = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${traced}`];
  return spawn('strace', [...args, '-e', `inject=${traced}:${inject}`, '-p', String(pid)], {
    stdio: 'ignore',
  });
}

/** @param isFatal it is to end the replica */
async function underStrace(
  stage: Stage,
  {
    name,
    inject,
    isFatal,
  }: { readonly name: string; readonly inject: string; readonly isFatal: boolean },
): Promise<void> {
  const { system } = stage;
  const [node] = stage.take(1);
  const pid = node === undefined ? null : system.cluster.replica(node).pid;
  if (node === undefined || pid === null) return;
  await during(stage, { name, nodes: [node], detail: { inject } }, async () => {
    // What is only slow excuses no end.
    const over = isFatal
      ? endWithin(stage, node, { cause: 'disk-failed', ms: endMs(stage) })
      : stage.sleep(stage.holdMs).then(() => null);
    const tracer = meddle(pid, inject);
    let isGone = false;
    const gone = new Promise<void>((resolve) => {
      const end = (): void => {
        isGone = true;
        resolve();
      };
      tracer.once('exit', end);
      tracer.once('error', end);
    });
    const hasEnded = (await over) !== null;
    if (hasEnded) stage.count(`${name}: the replica ended`);
    else if (isGone) stage.missed(`${name}: strace was gone`);
    else if (isFatal) stage.missed(`${name}: the replica went on`);
    tracer.kill('SIGTERM');
    await gone;
    if (!system.cluster.replica(node).running) await system.start(node);
  });
}

export const straceError: Nemesis = {
  name: 'strace-sync-error',
  about: 'the kernel answers one fsync or fdatasync with EIO, whoever asks: log or LevelDB',
  lacks: lacksStrace,
  claims: ['disk'],
  episode: (stage) =>
    underStrace(stage, { name: 'strace-sync-error', inject: 'error=EIO:when=2', isFatal: true }),
};

export const straceStall: Nemesis = {
  name: 'strace-sync-stall',
  about: 'the kernel takes 300 ms longer for each fsync and fdatasync',
  lacks: lacksStrace,
  claims: ['disk'],
  episode: (stage) =>
    underStrace(stage, { name: 'strace-sync-stall', inject: 'delay_exit=300000', isFatal: false }),
};
