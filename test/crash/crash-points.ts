import { seededRandom } from '../../src/base/random.js';
import type { LogPosition } from '../../src/raft/types.js';
import type { RestoredLog } from '../../src/storage/log-store.js';
import { type CrashChoice, MemoryFiles, type Unsynced } from '../../src/storage/memory-files.js';
import { Wal } from '../../src/storage/wal/wal.js';
import type { Machine } from '../simulation/machine.js';
import type { MemberHistory } from '../simulation/member-history.js';
import type { World } from '../simulation/world.js';
import { ManualWorld } from '../storage/manual-world.js';
import { makeWorld, runScript } from './script.js';
import { chosenOutcomes, outcome, outcomes } from './subsets.js';

/** Steps of the state, of imports and of compactions: between two of them another crash is another crash. */
const STATE_STEPS = /^(snapshot|compaction|apply\.after)/;

/** A machine is down for so long after a crash. */
const DOWN_MS = 150;

/** A place in the life of one machine at which its power can fail. */
export interface Place {
  /** Counted from 1 over all steps of this machine. */
  readonly step: number;
  /** What was done last, and what of it can be lost. */
  readonly what: string;
  /** In how many ways the files can be found afterwards. */
  readonly outcomes: number;
  /** How many of them were looked at. */
  readonly tried: number;
  /** One outcome for each different log that the next start would find. */
  readonly logs: readonly number[];
  /** A new state is about to be, or just was, made the current one. */
  readonly isSwitching: boolean;
  /** A received state is whole, and the log is not yet reset behind it. */
  readonly isInstalling: boolean;
}

/** What a power failure leaves. */
export interface Crash {
  readonly machine: number;
  readonly step: number;
  /** Which of {@link Place.outcomes}. */
  readonly files: number;
  /** How many of the unsynced entries the state still has. */
  readonly state: 'none' | 'half' | 'all';
  readonly isSwitched: boolean;
  /** Its power fails once more, at this step of its next start. */
  readonly again?: number;
}

/** Counts the steps of a machine. */
class Steps {
  readonly #machine: Machine;
  readonly #onStep: (what: string) => void;
  isSwitching = false;
  isInstalling = false;

  constructor(machine: Machine, onStep: (what: string) => void) {
    this.#machine = machine;
    this.#onStep = onStep;
    const { failpoints } = machine;
    const hit = failpoints.hit.bind(failpoints);
    failpoints.hit = (name) => {
      hit(name);
      if (name === 'snapshot.before-switch') this.isSwitching = true;
      if (name === 'snapshot.before-finish') this.isInstalling = true;
      if (STATE_STEPS.test(name)) this.#inProcess(name);
      if (name === 'snapshot.after-switch') this.isSwitching = false;
      if (name === 'snapshot.after-reset') this.isInstalling = false;
    };
    this.watchDisk();
  }

  /** Of this life; the machine forgets it when it dies. */
  watchDisk(): void {
    this.#machine.crashAtDiskStep(1, () => {
      this.watchDisk();
      this.#onStep('disk');
    });
  }

  /** A process whose power has failed goes no further. */
  #inProcess(what: string): void {
    const { life } = this.#machine.time;
    this.#onStep(what);
    if (life !== this.#machine.time.life) throw new Error('the power has failed');
  }
}

function memoryOf(machine: Machine): MemoryFiles {
  const { files } = machine.disk;
  if (!(files instanceof MemoryFiles)) throw new Error('the disk is no simulated one');
  return files;
}

function unsyncedOf(machine: Machine): Unsynced {
  return memoryOf(machine).unsynced();
}

function machineAt(world: World, place: number): Machine {
  const machine = world.machines[place];
  if (machine === undefined) throw new Error(`there is no machine ${place}`);
  return machine;
}

/**
 * Runs the script once without a crash. At each step of the machine its log is opened as a power failure
 * would leave it: with every outcome if there are at most `most`, else with so many of them.
 * @throws when a log cannot be opened, or does not hold what was promised
 */
export async function places(place: number, most: number): Promise<Place[]> {
  const world = makeWorld();
  const machine = machineAt(world, place);
  const random = seededRandom(place);
  const found: Place[] = [];
  const steps = new Steps(machine, (what) => {
    const unsynced = unsyncedOf(machine);
    const step = found.length + 1;
    const count = outcomes(unsynced);
    const tried = chosenOutcomes(count, random, most);
    const logs = new Map<string, number>();
    for (const number of tried) {
      try {
        const log = logAfter(world, machine, outcome(unsynced, number));
        if (!logs.has(log)) logs.set(log, number);
      } catch (error) {
        const where = `machine ${place}, step ${step} (${describe(what, unsynced)}), outcome ${number}`;
        world.scheduler.fail(new Error(`${where}: ${(error as Error).message}`));
      }
    }
    found.push({
      ...{ step, what: describe(what, unsynced), outcomes: count, tried: tried.length },
      ...{ logs: [...logs.values()], isSwitching: steps.isSwitching },
      ...{ isInstalling: steps.isInstalling },
    });
  });
  await runScript(world);
  return found;
}

/** What the next start finds, in short; it must hold all that the member has promised. */
function logAfter(world: World, machine: Machine, choice: CrashChoice): string {
  const disk = memoryOf(machine).copy(() => {}, choice);
  const clock = new ManualWorld();
  const { restored, repairs } = Wal.open({
    ...{ folder: 'wal', files: disk, limits: world.options.limits, clock, salt: 1 },
  });
  const isStarted = machine.replica !== null;
  if (isStarted) checkPromises(world.invariants.history(machine.id), restored, machine);
  const { hardState, logStart, terms, lastIndex } = restored;
  return JSON.stringify([hardState, logStart, terms, lastIndex, repairs.length]);
}

function checkPromises(history: MemberHistory, restored: RestoredLog, machine: Machine): void {
  const { promisedTerm, promisedVote, promisedMatch, durableIndex } = history;
  const { currentTerm, votedFor } = restored.hardState;
  if (currentTerm < promisedTerm) throw new Error(`it forgets term ${promisedTerm}`);
  const isVoteKept =
    promisedVote === null || currentTerm > promisedTerm || votedFor === promisedVote;
  if (!isVoteKept) throw new Error(`it forgets its vote for ${promisedVote}`);
  // What is about to be thrown away for a snapshot may be gone or not.
  const isInstalling = machine.replica?.snapshots.installing === true;
  const index = isInstalling ? promisedMatch : Math.max(promisedMatch, durableIndex);
  if (!holds(restored, { index, term: history.termAt(index) })) {
    throw new Error(`it forgets entry ${index}, and ends at ${restored.lastIndex}`);
  }
}

function holds({ logStart, terms, lastIndex }: RestoredLog, { index, term }: LogPosition): boolean {
  if (index <= logStart.index) return true;
  return index <= lastIndex && terms.findLast((run) => run.index <= index)?.term === term;
}

function describe(what: string, { data, names }: Unsynced): string {
  const files = data.map(({ path }) => `data of ${path}`);
  const changes = names.flatMap((change) =>
    change.names.map(({ path, inode }) => `${inode === null ? 'no ' : ''}name ${path}`),
  );
  return `${what}; not synced: ${[...files, ...changes].join(', ') || 'nothing'}`;
}

/** Runs the script with this crash; `null` when every promise was kept, else which was not. */
export async function runWith(crash: Crash): Promise<string | null> {
  const world = makeWorld();
  const machine = machineAt(world, crash.machine);
  let target = crash.step;
  let crashes = 0;
  let count = 0;
  const steps = new Steps(machine, () => {
    count += 1;
    if (count !== target) return;
    crashes += 1;
    powerFails(machine, crash);
    // The second one, if there is to be one, is counted from here.
    count = 0;
    target = crashes === 1 ? (crash.again ?? 0) : 0;
    steps.watchDisk();
    world.scheduler.plan(DOWN_MS, () => machine.start());
  });
  try {
    await runScript(world);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return crashes > 0 ? null : 'the place of the crash was never reached';
}

function powerFails(machine: Machine, { files, state, isSwitched }: Crash): void {
  const unsynced = unsyncedOf(machine);
  const count = outcomes(unsynced);
  let asked = 0;
  machine.powerFails(outcome(unsynced, files % count), {
    ...seededRandom(1),
    // The machine asks for one of two, whether the switch is done, and then for how many entries are kept.
    int: (bound) => {
      asked += 1;
      if (asked === 1) return isSwitched ? 0 : 1;
      if (state === 'none') return 0;
      return state === 'all' ? bound - 1 : bound >> 1;
    },
  });
}
