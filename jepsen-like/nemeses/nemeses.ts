import { killAll, killFollower, killLeader, killMajority, killMinority, restartStorm, rollingRestart } from './kill.js';
import { LINK_NEMESES, resetStorm } from './links.js';
import type { Nemesis } from './nemesis.js';
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

export const NEMESES: readonly Nemesis[] = [
  killLeader,
  killFollower,
  killMinority,
  killMajority,
  killAll,
  restartStorm,
  rollingRestart,
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
  resetStorm,
];

/**
 * @param wanted names, or the beginnings of several (`kill`, `partition`), separated by commas; `all`; `none`
 * @throws Error when there is none of this name
 */
export function chooseNemeses(wanted: string): readonly Nemesis[] {
  if (wanted === 'none') return [];
  if (wanted === 'all') return NEMESES;
  const chosen = wanted.split(',').flatMap((name) => {
    const exact = NEMESES.filter((nemesis) => nemesis.name === name);
    const found = exact.length > 0 ? exact : NEMESES.filter((n) => n.name.startsWith(`${name}-`));
    if (found.length === 0) throw new Error(`there is no nemesis ${name}; --list names them`);
    return found;
  });
  return [...new Set(chosen)];
}
