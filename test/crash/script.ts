import { LIMITS } from '../../src/base/limits.js';
import { allAgree, checkRecords, describeMembers } from '../simulation/agreement.js';
import { FINE } from '../simulation/network.js';
import { Violation } from '../simulation/scheduler.js';
import type { SimulationOptions } from '../simulation/swarm.js';
import { Workload } from '../simulation/workload.js';
import { World } from '../simulation/world.js';

const KiB = 1024;

/** One fixed life: three members, small files and a log that is cut early, so that much happens in little time. */
const OPTIONS: SimulationOptions = {
  seed: 7,
  replicas: 3,
  tickMs: 40,
  heartbeatTicks: 2,
  electionTicks: 6,
  diskStallTicks: 200,
  leaseMs: 0,
  driftPercentMax: 0,
  // The same one leads in each run, until the script says otherwise.
  priorities: [200, 100, 100, 100, 100],
  spares: 2,
  limits: {
    ...LIMITS,
    walSegmentBytes: 6 * KiB,
    logCacheBytesMax: 1 * KiB,
    logEntriesMax: 14,
    logTrailingEntries: 2,
    logPinnedBytesMax: 1 * KiB,
    snapshotChunkBytes: 512,
    snapshotRetryMsMax: 0,
    snapshotIdleMsMax: 500,
    stateHashEntries: 8,
  },
  usesCodec: false,
  weather: FINE,
  disk: { usualMs: 1, spikeChance: 0, spikeMs: 0 },
  clients: 1,
  keys: 3,
  thinkMs: 60,
  valueBytesMax: 300,
  share: { put: 80, delete: 5, any: 0 },
  clientTimeoutMs: 1500,
  faults: [],
  faultsMax: 0,
  disturbedMs: 0,
};

/** How long the script waits for what it has asked for, and goes on without it. */
const PATIENCE_MS = 3000;
/** A cluster that is left alone agrees within this time. */
const AGREE_MS = 15_000;

export function makeWorld(): World {
  return new World(OPTIONS);
}

/**
 * Appends, a follower that is left behind and gets a snapshot, compactions, and all kinds of membership
 * changes; then everything must have come together.
 */
export async function runScript(world: World): Promise<Workload> {
  const workload = new Workload(world);
  const { operator, machines } = world;
  const [, n2, n3, n4] = machines;
  if (n2 === undefined || n3 === undefined || n4 === undefined) throw new Error('too few machines');
  await world.startAll();
  await workload.start();
  await writes(world, workload, 10);
  await leaveBehind(world);
  operator.add(true);
  await until(world, () => votes(world, n4.id));
  operator.demote(n2);
  await until(world, () => !votes(world, n2.id));
  operator.promote(n2);
  await until(world, () => votes(world, n2.id));
  operator.replace(n2);
  await until(world, () => !votes(world, n2.id));
  operator.remove(n4);
  await until(world, () => !votes(world, n4.id));
  operator.transfer(n3);
  await until(world, () => world.leader === n3);
  await writes(world, workload, 5);
  await settle(world, workload);
  return workload;
}

async function until(world: World, done: () => boolean, ms = PATIENCE_MS): Promise<void> {
  await world.scheduler.run(world.scheduler.nowMs + ms, done);
}

function writes(world: World, workload: Workload, count: number): Promise<void> {
  const before = workload.acknowledged;
  return until(world, () => workload.acknowledged >= before + count);
}

function votes(world: World, id: string): boolean {
  return world.invariants.committedConfiguration.voters.includes(id);
}

/** The third one hears nothing until the log of the others begins behind all that it has. */
async function leaveBehind(world: World): Promise<void> {
  const [first, second, third] = world.machines;
  if (first === undefined || second === undefined || third === undefined) return;
  const ends: (() => void)[] = [];
  for (const other of [first, second]) {
    ends.push(world.network.cut(other.place, third.place));
    ends.push(world.network.cut(third.place, other.place));
  }
  const at = third.replica?.node.lastIndex ?? 0;
  const isBehind = ({ replica }: typeof first): boolean =>
    replica !== null && replica.node.logStart.index > at;
  await until(world, () => isBehind(first) && isBehind(second));
  for (const end of ends) end();
  const goal = world.invariants.committedIndex;
  await until(world, () => (third.replica?.appliedIndex ?? 0) >= goal);
}

/** Nothing goes wrong any more: all serve, then all agree, and what they hold is what clients were told. */
async function settle(world: World, workload: Workload): Promise<void> {
  await until(world, () => world.operator.isIdle, AGREE_MS);
  for (const machine of world.intact) machine.start();
  const before = workload.acknowledged;
  await until(world, () => workload.acknowledged > before + 2, AGREE_MS);
  if (workload.acknowledged <= before + 2) {
    throw new Violation(`Liveness: no writes in ${AGREE_MS} ms: ${workload.lastError}`);
  }
  workload.stop();
  const agrees = (): boolean => workload.isIdle && allAgree(world);
  await until(world, agrees, AGREE_MS);
  if (!agrees())
    throw new Violation(`Liveness: the replicas do not agree: ${describeMembers(world)}`);
  for (const { replica } of world.intact) {
    if (replica !== null) workload.checkState(replica.machine);
  }
  workload.checkLinearizable();
  await checkRecords(world);
  await workload.close();
}
