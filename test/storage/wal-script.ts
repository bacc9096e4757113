import type { DiskWrite } from '../../src/raft/types.js';
import type { MemoryFiles } from '../../src/storage/memory-files.js';
import { Wal } from '../../src/storage/wal/wal.js';
import { entries, entry, type LogChange, submit, write } from './log-helpers.js';
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

/** The same, and then compactions and resets: of a log that holds the place, holds another, or ends before it. */
export function scriptedChanges(): LogChange[][] {
  const vote = { currentTerm: 5, votedFor: 'n3.9a01', commitIndex: 30 };
  return [
    ...scriptedWrites(),
    [{ compactTo: { index: 9, term: 2 } }],
    [write(entries(15, 3, 4, 'g'.repeat(2500)))],
    [{ compactTo: { index: 13, term: 4 } }, write(entries(18, 1, 4, 'members'))],
    [{ resetTo: { index: 30, term: 5 } }],
    [write(entries(31, 4, 5, 'f'.repeat(3000)), vote)],
    [write(entries(33, 5, 6, 'e'.repeat(2000)))],
    [{ resetTo: { index: 32, term: 7 } }],
    [write(entries(33, 3, 7, 'd'.repeat(3000)))],
    [{ compactTo: { index: 33, term: 7 } }],
    [write(entries(36, 4, 7, 'c'.repeat(3000)))],
    [{ resetTo: { index: 34, term: 7 } }, { resetTo: { index: 20, term: 3 } }],
    [write(entries(37, 2, 8, 'b'.repeat(2000)))],
    [
      write(entries(39, 1, 8)),
      { resetTo: { index: 60, term: 9 } },
      write([entry(61, 9, 'members', 'configuration'), ...entries(62, 1, 9, 'a'.repeat(5000))]),
    ],
    [write(entries(62, 2, 10, 'z'.repeat(4000)))],
    [{ compactTo: { index: 62, term: 10 } }],
    [write(entries(64, 3, 10, 'y'.repeat(3000)))],
  ];
}

/** Submits the lists one after the other; counts what was acknowledged. Stops when the disk halts. */
export function runScript(
  wal: Wal,
  world: ManualWorld,
  script: readonly (readonly LogChange[])[],
  onAcknowledged: () => void,
): void {
  for (const list of script) {
    let waiting = list.length;
    for (const what of list) {
      submit(wal, what, (error) => {
        if (error !== null) return;
        waiting -= 1;
        onAcknowledged();
      });
    }
    world.run();
    world.pass(10);
    if (waiting > 0) return;
  }
}
