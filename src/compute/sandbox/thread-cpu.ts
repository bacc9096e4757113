import { readFileSync, readlinkSync } from 'node:fs';

/** Of the clock that Linux counts in, everywhere. */
const TICK_MS = 10;
/** Fields of `/proc/…/stat` behind the name of the thread: time in the program, and in the kernel for it. */
const USER = 11;
const SYSTEM = 12;

/** What the present thread is called in `/proc`; empty: it cannot be said here. */
export function ownThread(): string {
  try {
    return readlinkSync('/proc/thread-self');
  } catch {
    return '';
  }
}

/**
 * How long a thread of this process has computed since it began, in milliseconds: one that waits for a processor does not.
 * @param thread as {@link ownThread} gives it
 * @returns `null`: it cannot be said
 */
export function threadCpuMs(thread: string): number | null {
  if (thread === '') return null;
  try {
    const stat = readFileSync(`/proc/${thread}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = Number(fields[USER]) + Number(fields[SYSTEM]);
    return Number.isFinite(ticks) ? ticks * TICK_MS : null;
  } catch {
    return null;
  }
}
