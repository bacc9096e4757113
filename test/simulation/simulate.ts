import { allAgree, checkRecords, describeMembers } from './agreement.js';
import { drawSchedule, type Schedule } from './schedule.js';
import { Violation } from './scheduler.js';
import { SideWorkloads } from './side-workloads.js';
import { drawOptions, type SimulationOptions } from './swarm.js';
import { Watchers } from './watchers.js';
import { Workload } from './workload.js';
import { World } from './world.js';

/** Within this time after the last fault a cluster serves again, and then agrees. */
const SERVE_MS = 15_000;
const AGREE_MS = 30_000;

export interface RunReport {
  readonly seed: number;
  /** `null`: every promise was kept. */
  readonly violation: string | null;
  /** Of all events, in order. */
  readonly hash: string;
  readonly simulatedMs: number;
  readonly events: number;
  readonly faults: number;
  readonly acknowledged: number;
  readonly coverage: readonly (readonly [string, number])[];
}

export interface RunRequest {
  readonly seed: number;
  /** Instead of the one that belongs to the seed. */
  readonly schedule?: Schedule | undefined;
  readonly options?: SimulationOptions | undefined;
}

/** One run: a safety phase with faults, then a liveness phase without. Never throws. */
export async function simulate(request: RunRequest): Promise<RunReport> {
  const options = request.options ?? drawOptions(request.seed);
  const schedule = request.schedule ?? drawSchedule(options);
  const world = new World(options);
  const workload = new Workload(world);
  let violation: string | null = null;
  try {
    await bothPhases(world, workload, schedule);
  } catch (error) {
    violation = describeError(error);
  }
  const { scheduler, coverage } = world;
  return {
    seed: options.seed,
    violation,
    hash: scheduler.hash.hex,
    simulatedMs: scheduler.nowMs,
    events: scheduler.events,
    faults: world.faults,
    acknowledged: workload.acknowledged,
    coverage: coverage.entries(),
  };
}

async function bothPhases(world: World, workload: Workload, schedule: Schedule): Promise<void> {
  const { scheduler, options } = world;
  await world.startAll();
  await workload.start();
  const watchers = new Watchers(world, () => workload.highestRevision);
  watchers.start();
  const sides = new SideWorkloads(world);
  sides.start();
  world.hurry = (forMs, pauseMs, callsMax) => {
    workload.hurry(forMs, pauseMs, callsMax);
    sides.hurry();
  };
  world.disturb(schedule);
  await scheduler.run(scheduler.nowMs + options.disturbedMs);
  await world.calm();
  await liveness(world, workload, sides);
  await watchers.finish();
  await workload.close();
  await sides.close();
}

/** Without faults all calls are answered, and all replicas come to the same state. */
async function liveness(world: World, workload: Workload, sides: SideWorkloads): Promise<void> {
  const { scheduler } = world;
  let serves = false;
  workload.probe().then(
    (ok) => {
      serves = ok;
    },
    (error: unknown) => scheduler.fail(error as Error),
  );
  await scheduler.run(scheduler.nowMs + SERVE_MS, () => serves);
  check(serves, () => {
    const who = [...workload.unanswered].join();
    const late = `not every client can write and read ${SERVE_MS} ms after the last fault (${who} cannot)`;
    return `Liveness: ${late}: ${describeMembers(world)}\n  ${workload.lastError}`;
  });
  workload.stop();
  sides.stop();
  await scheduler.run(scheduler.nowMs + sides.goneMs, () => sides.isGone);
  sides.check();
  const agrees = (): boolean => workload.isIdle && sides.isIdle && allAgree(world);
  await scheduler.run(scheduler.nowMs + AGREE_MS, agrees);
  check(agrees(), () => {
    const { lacking } = sides;
    return `Liveness: ${AGREE_MS} ms after the last fault: ${describeMembers(world)} ${lacking}`;
  });
  for (const { replica } of world.intact) {
    if (replica !== null) workload.checkState(replica.machine);
  }
  workload.checkLinearizable();
  sides.checkAtEnd();
  await checkRecords(world);
}

function check(condition: boolean, violation: () => string): void {
  if (!condition) throw new Violation(violation());
}

function describeError(error: unknown): string {
  if (error instanceof Violation) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
