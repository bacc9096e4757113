import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { getPriority, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';

/** Linux alone has priorities of threads, and takes their ids where those of processes are asked for. */
export const hasThreadPriorities = process.platform === 'linux';

/** What the thread of compactions gives way by (`nice`), more than the process does. */
export const COMPACTION_NICE = 10;

const NICE_MAX = 19;

const OWN_THREADS = '/proc/self/task';

/** Of this process. */
let given: Promise<void> | null = null;

/**
 * LevelDB compacts the databases of a process in one thread, which would take the processors from all else for seconds. From now on it
 * gets less of them than others when they are short. Nobody tells which thread that is: it begins with the first compaction, so that of a
 * database that is thrown away begins it here.
 *
 * Where there are no priorities of threads, or no place for such a database, it stays as important as all else.
 * @param compact opens a database in the folder, compacts it, and closes it
 */
export function giveWayInCompactions(compact: (folder: string) => Promise<void>): Promise<void> {
  given ??= hasThreadPriorities ? lowerNextThread(compact).catch(() => {}) : Promise.resolve();
  return given;
}

async function lowerNextThread(compact: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'balsa-level-'));
  try {
    // Those of Node's pool are among them: it is one of them that looks.
    const before = new Set(await readdir(OWN_THREADS));
    await compact(folder);
    const started = (await readdir(OWN_THREADS)).filter((one) => !before.has(one));
    const [thread, ...others] = started;
    // Others that have begun meanwhile do what cannot wait.
    if (thread === undefined || others.length > 0) return;
    setPriority(Number(thread), Math.min(NICE_MAX, getPriority() + COMPACTION_NICE));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
