import type { DiskWrite } from '../../src/raft/types.js';
import type { MemoryFiles } from '../../src/storage/memory-files.js';
import { Wal } from '../../src/storage/wal/wal.js';
import { entries, entry, write } from './log-helpers.js';
import type { ManualWorld } from './manual-world.js';

export const WAL_LIMITS = { walSegmentBytes: 8 * 1024, logCacheBytesMax: 1e9 };

export function openWal(files: MemoryFiles, world: ManualWorld): Wal {
  return Wal.open({ folder: '/data/wal', files, limits: WAL_LIMITS, clock: world, salt: 99 });
}

/**
 * A life with everything in it: groups, cuts, votes, small and large entries, changes of segment, one
 * frame larger than a segment, and times of idleness in which the log is sealed. Each list is
 * submitted at once.
 */
export function scriptedWrites(): DiskWrite[][] {
  const vote = (currentTerm: number, votedFor: string | null, commitIndex: number) => ({
    currentTerm,
    votedFor,
    commitIndex,
  });
  return [
    [write([], vote(1, 'n1.5f0c', 0))],
    [write([entry(1, 1, '', 'noop')]), write(entries(2, 2, 1)), write(entries(4, 1, 1))],
    [write(entries(5, 3, 1, 'm'.repeat(700)), vote(1, 'n1.5f0c', 4))],
    [write([entry(8, 1, 'members', 'configuration')]), write(entries(9, 2, 1, 'l'.repeat(1500)))],
    [write(entries(8, 2, 2), vote(2, null, 6)), write(entries(10, 4, 2, 'k'.repeat(600)))],
    [write(entries(14, 1, 2, 'j'.repeat(20_000)))],
    [write(entries(15, 3, 2)), write([], vote(3, 'n2.17aa', 15)), write(entries(16, 1, 3))],
    [write(entries(17, 6, 3, 'i'.repeat(500)))],
    [write(entries(12, 2, 4), vote(4, null, 11)), write(entries(14, 1, 4, 'h'.repeat(3000)))],
  ];
}

/** Submits the lists one after the other; counts what was acknowledged. Stops when the disk halts. */
export function runScript(
  wal: Wal,
  world: ManualWorld,
  script: readonly (readonly DiskWrite[])[],
  onAcknowledged: () => void,
): void {
  for (const list of script) {
    for (const what of list) {
      wal.append(what, (error) => {
        if (error === null) onAcknowledged();
      });
    }
    world.run();
    world.pass(10);
  }
}
