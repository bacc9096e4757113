import type { Clock } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { WorkerPool } from '../compute/sandbox/worker-pool.js';
import type { Configuration, MemberId } from '../raft/types.js';
import { type Channel, type ChannelHandlers, dial } from '../rpc/channel.js';
import type { FormatVersions } from '../rpc/peer-protocol.js';
import { PEER_SNAPSHOT_PATH } from '../rpc/protocol.js';
import { LazyExecutor } from './calls/lazy-executor.js';
import type { ServerConfig } from './config.js';
import { leaseMsOf } from './lease-record.js';
import { LoopUse, MachineUse } from './loop-use.js';
import { nameOf } from './member-id.js';
import { Replica } from './replica.js';
import type { ReplicaOptions } from './replica-options.js';
import type { Roster } from './roster.js';
import type { Stores } from './stores.js';

/** Share of a lease by which the clocks of two replicas may run apart. */
const LEASE_DRIFT_MARGIN = 0.1;

type Told = 'transport' | 'onEvent' | 'onNotice' | 'afterTurn' | 'onFailure';

interface NewReplicaOptions extends Required<Pick<ReplicaOptions, Told>> {
  readonly config: ServerConfig;
  readonly stores: Stores;
  readonly clock: Clock;
  readonly random: Random;
  readonly id: MemberId;
  readonly clusterId: string;
  /** The configuration that the cluster was formed with. */
  readonly base: Configuration;
  readonly formats: FormatVersions;
  readonly roster: Roster;
  /** See `RaftOptions`. */
  readonly leaseMsBefore: number;
}

/** A {@link Replica} as the configuration of the server wants it, over real disks and streams. */
export function newReplica(options: NewReplicaOptions): Replica {
  const { config, stores, roster, clock, base, clusterId, ...rest } = options;
  // An idle replica is woken for each tick: there are no more of them than heartbeats.
  const tickMs = config.heartbeatMs;
  stores.onDeltasFailed(rest.onFailure);
  const loop = new LoopUse(() => clock.monotonicMs());
  const machine = new MachineUse(() => clock.monotonicMs());
  return new Replica({
    ...rest,
    clock,
    loopUse: () => loop.share,
    machineUse: () => machine.share,
    executor: new LazyExecutor(
      () =>
        new WorkerPool({
          clock,
          workers: config.limits.procedureThreadsMax,
          callsWaitingMax: config.limits.procedureCallsWaitingMax,
        }),
    ),
    taskExecutor: new LazyExecutor(
      () =>
        new WorkerPool({
          clock,
          // One more for groups of calls, of which tasks have none: it is never started.
          workers: config.limits.taskThreadsMax + 1,
          // Whoever reads and writes comes first.
          isBackground: true,
          callsWaitingMax: config.limits.procedureCallsWaitingMax,
        }),
    ),
    cluster: { name: config.cluster, id: clusterId },
    configuration: base,
    limits: config.limits,
    tickMs,
    electionTicks: Math.ceil(config.electionTimeoutMs / tickMs),
    heartbeatTicks: 1,
    priority: config.electionPriority,
    leaseMs: leaseMsOf(config),
    leaseDriftMargin: LEASE_DRIFT_MARGIN,
    diskStallTicks: Math.ceil(config.diskStallMs / tickMs),
    logStore: stores.logStore,
    restoredLog: stores.restoredLog,
    vault: stores.vault,
    machine: stores.machine,
    openMachine: stores.openMachine,
    deltas: stores.deltas,
    failpoints: stores.failpoints,
    formatsOf: (member) => roster.formatsOf(member),
    nameOf,
    dialSnapshot: (member, handlers) => {
      const address = roster.routeTo(member);
      if (address === null) return nowhere(clock, member, handlers);
      return dial({ ...handlers, address, path: PEER_SNAPSHOT_PATH, isBulk: true });
    },
  });
}

/** A stream that ends at once. */
function nowhere(clock: Clock, member: MemberId, { onClose }: ChannelHandlers): Channel {
  const reason = new BalsaError('UNREACHABLE', `nobody has said where ${member} is`);
  clock.defer(() => onClose(reason));
  return { pendingBytes: 0, send: () => {}, end: () => {}, abort: () => {} };
}
