import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { threadCpuSeconds } from '../machine.js';
import { agentFile, type FirstThreads } from './profile-agent.js';

/** What the threads of a process do. */
export const THREADS = [
  'main',
  'engine: garbage, compiler',
  'pool: log, store, sync',
  'LevelDB: compaction',
  'procedures',
] as const;
export type ThreadKind = (typeof THREADS)[number];

/** CPU seconds of each kind of thread of a process so far. Linux only. */
export type ThreadUse = Readonly<Record<ThreadKind, number>>;

/**
 * @param folder of the agent (see `profile-agent`); `null`: the process has none, and all but its main thread counts as the engine's
 */
export function threadUse(pid: number, folder: string | null): ThreadUse {
  const kindOf = kinds(pid, folder);
  const use: Record<ThreadKind, number> = {
    ...{ main: 0, 'engine: garbage, compiler': 0, 'pool: log, store, sync': 0 },
    ...{ 'LevelDB: compaction': 0, procedures: 0 },
  };
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const found = threadCpuSeconds(pid, thread);
    if (found !== null) use[kindOf(thread, found.nice)] += found.seconds;
  }
  return use;
}

function kinds(pid: number, folder: string | null): (thread: string, nice: number) => ThreadKind {
  const first = folder === null ? null : firstThreads(folder, pid);
  return (thread, nice) => {
    if (thread === `${pid}`) return 'main';
    if (first === null || first.engine.includes(thread)) return 'engine: garbage, compiler';
    if (first.pool.includes(thread)) return 'pool: log, store, sync';
    // The one that gives way: see `storage/compaction-thread`.
    return nice > 0 ? 'LevelDB: compaction' : 'procedures';
  };
}

function firstThreads(folder: string, pid: number): FirstThreads {
  return JSON.parse(readFileSync(join(folder, agentFile.threads(pid)), 'utf8')) as FirstThreads;
}
