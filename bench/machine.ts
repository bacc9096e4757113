import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import type { LocalCluster } from '../src/cluster/local-cluster.js';

/**
 * What processes take, read from /proc: wall clock alone says little on a machine that does other things,
 * too. Linux only.
 */
export interface MemoryUse {
  readonly residentBytes: number;
  /** Resident and not of files: what no other program could have. */
  readonly anonymousBytes: number;
  /** The most that was resident so far. */
  readonly residentMaxBytes: number;
}

const KiB = 1024;
export const MiB = 1024 * KiB;
/** Linux counts CPU time in these, on every platform that Node runs on. */
const TICKS_PER_SECOND = 100;

/** CPU time of a process so far, all its threads, user and system. */
export function cpuSeconds(pid: number): number {
  return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8')).seconds;
}

interface CpuUse {
  readonly seconds: number;
  readonly nice: number;
}

/** `null`: it has ended meanwhile. */
export function threadCpuSeconds(pid: number, thread: string): CpuUse | null {
  const stat = threadFile(pid, thread, 'stat');
  return stat === null ? null : parseStat(stat);
}

/** What the system says of a thread; `null`: it has ended. */
export function threadFile(pid: number, thread: string, name: 'stat' | 'status'): string | null {
  try {
    return readFileSync(`/proc/${pid}/task/${thread}/${name}`, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
}

function parseStat(stat: string): CpuUse {
  // The name may hold anything, also spaces and brackets; the fields behind it are numbers.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const seconds = (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  return { seconds, nice: Number(fields[16]) };
}

export function memoryUse(pid: number): MemoryUse {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const bytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN) * KiB;
  return {
    residentBytes: bytes('VmRSS'),
    anonymousBytes: bytes('RssAnon'),
    residentMaxBytes: bytes('VmHWM'),
  };
}

/** Of all files in it. */
export function folderBytes(folder: string): number {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.reduce((sum, { parentPath, name }) => sum + sizeOf(join(parentPath, name)), 0);
}

/** LevelDB may have removed it meanwhile. */
function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** CPU time from the making of it on: of the replicas, and of this process (the client). */
export class CpuMeter {
  readonly #pids: readonly number[];
  readonly #replicas: number;
  readonly #client = process.cpuUsage();

  constructor(cluster: LocalCluster) {
    this.#pids = cluster.running.flatMap(({ pid }) => pid ?? []);
    this.#replicas = this.#sum();
  }

  read(): { readonly replicas: number; readonly client: number } {
    const { user, system } = process.cpuUsage(this.#client);
    return { replicas: this.#sum() - this.#replicas, client: (user + system) / 1e6 };
  }

  #sum(): number {
    return this.#pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  }
}

/**
 * Prints a table, and writes it to `jsonFile` with what is needed to judge it.
 * @param more facts for the file alone, as each round of what the table has medians of
 */
export function report(
  benchmark: string,
  rows: readonly Readonly<Record<string, string | number>>[],
  jsonFile: string | undefined,
  more: Readonly<Record<string, unknown>> = {},
): void {
  console.table(rows);
  const machine = { cpus: cpus().length, cpu: cpus()[0]?.model, node: process.version };
  const facts = { benchmark, at: new Date().toISOString(), loadAverage: loadavg(), machine };
  console.log(`load average ${loadavg().map((load) => load.toFixed(2))}, ${machine.cpus} CPUs`);
  if (jsonFile === undefined) return;
  writeFileSync(jsonFile, `${JSON.stringify({ ...facts, rows, ...more }, null, 2)}\n`);
}

/** To at most `digits` decimals. */
export function rounded(value: number, digits = 0): number {
  const scale = 10 ** digits;
  return Math.round(value * scale) / scale;
}
