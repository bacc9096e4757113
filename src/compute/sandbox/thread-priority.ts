import { setPriority } from 'node:os';
import { ownThread } from './thread-cpu.js';

/** What a thread whose work has time is started with. */
export const BACKGROUND = 'background';

const BELOW_NORMAL = 10;

/**
 * The present thread gets less of the processors than others of this process when they are short. Linux alone has priorities of
 * threads, and takes their ids where those of processes are asked for; elsewhere it stays as it is.
 */
export function lowerPriority(): void {
  if (process.platform !== 'linux') return;
  try {
    const thread = ownThread().split('/').at(-1) ?? '';
    if (thread !== '') setPriority(Number(thread), BELOW_NORMAL);
  } catch {
    // Without /proc, or not allowed: its work is done all the same.
  }
}
