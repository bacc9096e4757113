import { UsageError } from '../options.js';
import { clockDrift, clockJump, clockStrobe } from './clock.js';
import {
  diskFlip,
  diskFull,
  diskHelix,
  diskRollback,
  diskStall,
  diskSyncError,
  diskWipe,
  diskWriteError,
  straceError,
  straceStall,
} from './disk.js';
import { failpoint } from './failpoints.js';
import { workerKill, workerPause } from './job-workers.js';
import {
  killAll,
  killFollower,
  killLeader,
  killMajority,
  killMinority,
  lostTail,
  restartStorm,
  rollingRestart,
  rollingUpgrade,
} from './kill.js';
import { LINK_NEMESES, linksAnswersLate, resetStorm } from './links.js';
import { memberAdd, memberReplace, transfer, transferUnheard } from './members.js';
import { lackOf, type Nemesis, type Place } from './nemesis.js';
import {
  clientsCutOff,
  partitionBridge,
  partitionFlapping,
  partitionHalves,
  partitionLeader,
  partitionOneWay,
  partitionRing,
} from './partition.js';
import { pause, pauseLeader, pauseMajority } from './pause.js';
import { deploys, overload, snapshotStorm, workerLoss } from './storms.js';

export const NEMESES: readonly Nemesis[] = [
  killLeader,
  killFollower,
  killMinority,
  killMajority,
  killAll,
  lostTail,
  restartStorm,
  rollingRestart,
  rollingUpgrade,
  pauseLeader,
  pause,
  pauseMajority,
  partitionLeader,
  partitionHalves,
  partitionRing,
  partitionBridge,
  partitionOneWay,
  partitionFlapping,
  clientsCutOff,
  ...LINK_NEMESES,
  linksAnswersLate,
  resetStorm,
  clockJump,
  clockStrobe,
  clockDrift,
  diskSyncError,
  diskWriteError,
  diskFull,
  diskStall,
  diskFlip,
  diskHelix,
  diskRollback,
  diskWipe,
  straceError,
  straceStall,
  failpoint,
  memberAdd,
  memberReplace,
  transfer,
  transferUnheard,
  snapshotStorm,
  overload,
  deploys,
  workerLoss,
  workerKill,
  workerPause,
];

/**
 * @param wanted names, or the beginnings of several (`kill`, `partition`), separated by commas; `all`; `none`
 * @throws Error when there is none of this name
 */
export function chooseNemeses(wanted: string): readonly Nemesis[] {
  if (wanted === 'none') return [];
  // One of them needs a cluster of its own.
  if (wanted === 'all') return NEMESES.filter((nemesis) => nemesis.needsOldReplicas !== true);
  const chosen = wanted.split(',').flatMap((name) => {
    const exact = NEMESES.filter((nemesis) => nemesis.name === name);
    const found = exact.length > 0 ? exact : NEMESES.filter((n) => n.name.startsWith(`${name}-`));
    if (found.length === 0) throw new Error(`there is no nemesis ${name}; --list names them`);
    return found;
  });
  return [...new Set(chosen)];
}

/** Those that can be had at a place, and what of them cannot, with the reason. */
export interface NemesesThere {
  readonly nemeses: readonly Nemesis[];
  readonly leftOut: readonly string[];
}

/**
 * @param wanted see {@link chooseNemeses}
 * @throws UsageError when one that is named itself cannot be had, or none at all
 */
export function nemesesAt(wanted: string, place: Place): NemesesThere {
  const lacks = chooseNemeses(wanted).map((nemesis) => ({ nemesis, lack: lackOf(nemesis, place) }));
  const missing = lacks.filter(({ lack }) => lack !== null);
  const names = wanted.split(',');
  const named = missing.find(({ nemesis }) => names.includes(nemesis.name));
  if (named !== undefined) {
    throw new UsageError(`there is no nemesis ${named.nemesis.name} here: ${named.lack}`);
  }
  const leftOut = missing.map(({ nemesis, lack }) => `${nemesis.name} (${lack})`);
  if (leftOut.length > 0 && leftOut.length === lacks.length) {
    throw new UsageError(`none of these nemeses can be had here: ${leftOut.join(', ')}`);
  }
  return {
    nemeses: lacks.filter(({ lack }) => lack === null).map(({ nemesis }) => nemesis),
    leftOut,
  };
}
