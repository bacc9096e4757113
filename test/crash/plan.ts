import { type Random, seededRandom } from '../../src/base/random.js';
import { type Crash, type Place, places } from './crash-points.js';

/** Machines of the script: three first members, and two that join later. */
export const MACHINES = 5;

/** Recovery takes a few steps: power may fail again in one of them. */
const AGAIN_STEPS_MAX = 12;

export interface Plan {
  readonly places: number;
  /** Logs that were opened as a power failure would leave them. */
  readonly logsOpened: number;
  /** Whole runs to make, each with one crash. */
  readonly crashes: readonly Crash[];
  /** Those of them that come while a snapshot is installed: few, and the most dangerous ones. */
  readonly installing: readonly Crash[];
}

/**
 * Every place of every machine, each with every log that can be found there afterwards, without the
 * unsynced part of the state and with all of it.
 */
export async function planAll(outcomesMax: number): Promise<Plan> {
  const crashes: Crash[] = [];
  const installing: Crash[] = [];
  let placeCount = 0;
  let logsOpened = 0;
  for (let machine = 0; machine < MACHINES; machine += 1) {
    for (const place of await places(machine, outcomesMax)) {
      placeCount += 1;
      logsOpened += place.tried;
      const here = crashesAt(machine, place);
      crashes.push(...here);
      if (place.isInstalling) installing.push(...here);
    }
  }
  return { places: placeCount, logsOpened, crashes, installing };
}

function crashesAt(machine: number, place: Place): Crash[] {
  const crashes: Crash[] = [];
  for (const files of place.logs) {
    for (const state of ['none', 'all'] as const) {
      for (const isSwitched of place.isSwitching ? [false, true] : [false]) {
        crashes.push({ machine, step: place.step, files, state, isSwitched });
      }
    }
  }
  return crashes;
}

/** Some of them, some with another crash while the replica starts again. */
export function sample(crashes: readonly Crash[], count: number, seed: number): Crash[] {
  const random = seededRandom(seed);
  const left = [...crashes];
  const chosen: Crash[] = [];
  while (chosen.length < count && left.length > 0) {
    const [crash] = left.splice(random.int(left.length), 1);
    if (crash !== undefined) chosen.push(random.int(3) === 0 ? twice(crash, random) : crash);
  }
  return chosen;
}

export function twice(crash: Crash, random: Random): Crash {
  return { ...crash, state: 'half', again: 1 + random.int(AGAIN_STEPS_MAX) };
}
