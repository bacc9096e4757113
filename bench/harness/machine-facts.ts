import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { resolve } from 'node:path';

/** Where a run was made, which is needed to judge it. */
export interface MachineFacts {
  readonly cpus: number;
  readonly cpu: string;
  readonly node: string;
  readonly loadAverageBefore: number;
  /** Of the folder that all data is in, as Linux names it. */
  readonly fileSystem: string;
  /** Of this project; with `+` where files differ from it. */
  readonly commit: string;
}

const UNKNOWN = 'unknown';

/** @param dataFolder that all data is in */
export function machineFacts(dataFolder: string): MachineFacts {
  return {
    ...{ cpus: cpus().length, cpu: cpus()[0]?.model ?? UNKNOWN, node: process.version },
    loadAverageBefore: loadavg()[0] ?? Number.NaN,
    fileSystem: fileSystemOf(dataFolder, readFileSync('/proc/mounts', 'utf8')),
    commit: commit(),
  };
}

/** @param mounts as in `/proc/mounts`: device, mount point, type, … */
export function fileSystemOf(folder: string, mounts: string): string {
  const path = `${resolve(folder)}/`;
  let longest = -1;
  let found = UNKNOWN;
  for (const line of mounts.split('\n')) {
    const [, point = '', type = ''] = line.split(' ');
    const isIn = point !== '' && path.startsWith(point.endsWith('/') ? point : `${point}/`);
    // Of two at the same place the later one is seen.
    if (!isIn || point.length < longest) continue;
    longest = point.length;
    found = type;
  }
  return found;
}

function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no');
    return `${git('rev-parse', '--short', 'HEAD')}${changed === '' ? '' : '+'}`;
  } catch {
    // Without git, or outside of a clone of it.
    return UNKNOWN;
  }
}
