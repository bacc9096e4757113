import { readdirSync, readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';

/** What a thread whose work has time is started with. */
export const BACKGROUND = 'background';

const BELOW_NORMAL = 10;

const OWN_THREADS = '/proc/self/task';

/**
 * The present thread gets less of the processors than others of this process when they are short. Linux alone has priorities of
 * threads, and takes their ids where those of processes are asked for; elsewhere it stays as it is.
 */
export function lowerPriority(): void {
  if (process.platform !== 'linux') return;
  try {
    lower(Number(readlinkSync('/proc/thread-self').split('/').at(-1)));
  } catch {
    // Without /proc, or not allowed: its work is done all the same.
  }
}

/**
 * As {@link lowerPriority}, of the thread that `start` starts, which a library has for itself. If it starts none, or others begin
 * meanwhile, all stay as they are.
 */
export async function lowerPriorityOfStarted(start: () => Promise<void>): Promise<void> {
  const before = new Set(ownThreads());
  await start();
  const [started, ...others] = ownThreads().filter((thread) => !before.has(thread));
  if (started === undefined || others.length > 0) return;
  try {
    lower(started);
  } catch {
    // Not allowed, or ended: as above.
  }
}

function ownThreads(): number[] {
  if (process.platform !== 'linux') return [];
  try {
    return readdirSync(OWN_THREADS).map(Number);
  } catch {
    return [];
  }
}

function lower(thread: number): void {
  setPriority(thread, BELOW_NORMAL);
}
