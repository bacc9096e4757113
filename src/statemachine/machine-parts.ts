import { LIMITS } from '../base/limits.js';
import { CallExecutor } from './call-executor.js';
import { type CallKeyBounds, CallKeys } from './call-keys.js';
import { Compaction } from './compaction.js';
import { corrupt } from './corrupt.js';
import { Executor, type ExecutorBounds } from './executor.js';
import { HistoryHolds } from './history-holds.js';
import { HistoryMarks } from './history-marks.js';
import { JobExecutor } from './jobs/job-executor.js';
import { type JobBounds, Jobs } from './jobs/jobs.js';
import { Journal } from './journal.js';
import { KeyChains } from './key-chain.js';
import { Keyspace } from './keyspace.js';
import { KnownCommands } from './known-commands.js';
import { LastConfiguration } from './last-configuration.js';
import { MACHINE_KEY } from './layout.js';
import { type LeaseBounds, Leases } from './leases.js';
import { decodeMachineRecord, EMPTY_MACHINE, type MachineRecord } from './machine-record.js';
import { MergeExecutor } from './merge-executor.js';
import { type MergeBounds, Merges } from './merges.js';
import { Namespaces } from './namespaces.js';
import { type ProcedureBounds, Procedures } from './procedures.js';
import type { RangeLimits } from './range.js';
import { type SessionBounds, Sessions } from './sessions.js';
import { Settings } from './settings.js';
import type { StateStore } from './state-store.js';

/** What decides what is applied: the same at every replica, not configurable. Tests set others. */
export type AppliedBounds = SessionBounds &
  LeaseBounds &
  ProcedureBounds &
  CallKeyBounds &
  MergeBounds &
  JobBounds &
  ExecutorBounds & { readonly namespacesMax: number };

/** Of what a state machine consists. */
export interface MachineParts {
  readonly store: StateStore;
  readonly limits: AppliedBounds & RangeLimits;
  readonly machine: MachineRecord;
  readonly sessions: Sessions;
  readonly compaction: Compaction;
  readonly holds: HistoryHolds;
  readonly chains: KeyChains;
  readonly keyspace: Keyspace;
  readonly leases: Leases;
  readonly namespaces: Namespaces;
  readonly settings: Settings;
  readonly knownCommands: KnownCommands;
  readonly configuration: LastConfiguration;
  readonly procedures: Procedures;
  readonly callKeys: CallKeys;
  readonly calls: CallExecutor;
  readonly merges: Merges;
  readonly mergeExecutor: MergeExecutor;
  readonly jobs: Jobs;
  readonly jobExecutor: JobExecutor;
  readonly marks: HistoryMarks;
  readonly executor: Executor;
}

/**
 * The parts as `store` holds them.
 * @throws BalsaError `STATE_CORRUPT`
 */
export async function loadParts(
  store: StateStore,
  options: Partial<AppliedBounds & RangeLimits>,
): Promise<MachineParts> {
  const bounds = { ...LIMITS, ...options };
  const machine = loadMachine(store);
  const { revision, spaceBytes } = machine;
  const journal = new Journal();
  const compaction = new Compaction(machine);
  const chains = new KeyChains(store, compaction);
  const keyspace = new Keyspace({ store, chains, journal, revision, spaceBytes });
  const leases = await Leases.load({ store, bounds, journal }, machine.lastLease);
  const namespaces = await Namespaces.load(store, bounds, journal);
  const settings = new Settings(store);
  const procedures = await Procedures.load(store, bounds);
  const callKeys = await CallKeys.load(store, bounds);
  const merges = await Merges.load(store, bounds);
  const jobs = await Jobs.load({ store, bounds, procedures });
  const holds = new HistoryHolds({ keyspace, procedures, settings, jobs });
  const shared = { keyspace, leases, namespaces, settings, procedures, compaction, jobs, holds };
  const executor: Executor = new Executor({
    ...{ ...shared, journal, bounds },
    writeJob: (operation) => jobExecutor.write(operation, keyspace.revision),
  });
  const calls = new CallExecutor({ keyspace, executor, callKeys, merges, procedures });
  const jobExecutor = new JobExecutor({ jobs, calls, procedures });
  return {
    ...shared,
    store,
    limits: bounds,
    machine,
    chains,
    sessions: await Sessions.load(store, bounds, machine.forgottenThrough),
    marks: new HistoryMarks(store),
    knownCommands: new KnownCommands(store),
    configuration: new LastConfiguration(store),
    executor,
    callKeys,
    calls,
    jobExecutor,
    merges,
    mergeExecutor: new MergeExecutor({ keyspace, executor, merges, callKeys }),
  };
}

function loadMachine(store: StateStore): MachineRecord {
  const bytes = store.get(MACHINE_KEY);
  const machine = bytes === undefined ? EMPTY_MACHINE : decodeMachineRecord(bytes);
  if (machine.appliedIndex !== store.restoredIndex) {
    throw corrupt(
      `the state after entry ${machine.appliedIndex} where that after ${store.restoredIndex} is due`,
    );
  }
  return machine;
}
