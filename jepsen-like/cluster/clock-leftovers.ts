import { rmSync } from 'node:fs';

/**
 * Takes away what libfaketime shares between a process and its children, which a process that was killed leaves behind. Both
 * names come from the id of the process.
 *
 * @param pid of a process that has ended
 */
export function removeClockLeftovers(pid: number): void {
  for (const name of [`faketime_shm_${pid}`, `sem.faketime_sem_${pid}`]) {
    rmSync(`/dev/shm/${name}`, { force: true });
  }
}
