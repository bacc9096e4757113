import { availableParallelism } from 'node:os';
import { JOB_COMMANDS, MERGE_COMMANDS, MERGED_KEYS_BY_KIND } from '../base/command-versions.js';
import { BalsaError } from '../base/errors.js';
import { allMembers, otherMembers } from '../raft/configuration.js';
import { unpackConfiguration } from '../raft/configuration-codec.js';
import { RaftNode } from '../raft/raft-node.js';
import type { Configuration, LogIndex, MemberId, RaftEvent } from '../raft/types.js';
import type { FormatVersions } from '../rpc/peer-protocol.js';
import type { StateMachine } from '../statemachine/state-machine.js';
import type { DurableStateStore } from '../storage/snapshot.js';
import { Calls, type CallsHost } from './calls/calls.js';
import { Runner } from './calls/runner.js';
import { Compaction } from './compaction.js';
import { LogMeter } from './log-meter.js';
import { Proposals } from './proposals.js';
import type { ReplicaOptions } from './replica-options.js';
import type { SnapshotTraffic } from './snapshot-traffic.js';
import { StateHashes } from './state-hash.js';
import type { StateCheckpoint } from './transport.js';

/** The consensus module, as state machine and log on disk have it. */
export function makeNode(options: ReplicaOptions): RaftNode {
  const { id, electionTicks, heartbeatTicks, priority, leaseMs, leaseDriftMargin } = options;
  const { diskStallTicks, random, limits, restoredLog, machine, leaseMsBefore = 0 } = options;
  return new RaftNode(
    {
      ...{ id, electionTicks, heartbeatTicks, priority, leaseMs, leaseDriftMargin },
      ...{ diskStallTicks, random, limits, leaseMsBefore },
    },
    {
      ...restoredLog,
      configuration: appliedConfiguration(machine) ?? options.configuration,
      appliedIndex: machine.appliedIndex,
    },
  );
}

/** The latest one that the state machine has applied: part of its state, also of a snapshot's. */
function appliedConfiguration({ configuration }: StateMachine): Configuration | null {
  if (configuration === null) return null;
  return unpackConfiguration(configuration.payload, configuration.index);
}

/**
 * Places behind which the log is still needed: by followers that are there, and by those that are on the way to a snapshot's
 * place, or had one a moment ago and read on from there: silent for a moment they would need the next one.
 */
export function logPins(
  node: Pick<RaftNode, 'progress'>,
  snapshots: readonly { readonly member: MemberId; readonly index: LogIndex }[],
): LogIndex[] {
  const matches = new Map<MemberId, LogIndex>();
  const pins: LogIndex[] = [];
  for (const { member, matchIndex, recentActive } of node.progress) {
    matches.set(member, matchIndex);
    if (recentActive) pins.push(matchIndex);
  }
  for (const { member, index } of snapshots) {
    pins.push(Math.max(index, matches.get(member) ?? 0));
  }
  return pins;
}

type FormatsKnown = Pick<ReplicaOptions, 'id' | 'formats' | 'formatsOf'>;

/** The newest format that all members can read; who has not said what it can reads the first one. */
export function lowestFormat(
  options: FormatsKnown,
  configuration: Configuration,
  kind: keyof FormatVersions,
): number {
  let lowest = options.formats[kind];
  for (const member of otherMembers(configuration, options.id)) {
    lowest = Math.min(lowest, options.formatsOf(member)?.[kind] ?? 1);
  }
  return lowest;
}

/** Names of members that cannot read this version of a format, as far as is known. */
export function lackingFormat(
  options: FormatsKnown & Pick<ReplicaOptions, 'nameOf'>,
  configuration: Configuration,
  { kind, version }: { readonly kind: keyof FormatVersions; readonly version: number },
): string[] {
  const { id, formats, formatsOf, nameOf } = options;
  const others = otherMembers(configuration, id);
  const lacking = [...others].filter((member) => (formatsOf(member)?.[kind] ?? 1) < version);
  if (formats[kind] < version) lacking.push(id);
  return lacking.map(nameOf);
}

/**
 * In which commands are written now. What the log has had all members must know: one that is gone, and that this leader has never
 * heard of, holds nothing up.
 */
export function commandVersion(
  options: ReplicaOptions,
  node: RaftNode,
  machine: () => StateMachine,
): number {
  const lowest = lowestFormat(options, node.configuration, 'command');
  return Math.max(lowest, machine().knownCommandVersion);
}

export function makeProposals(
  options: ReplicaOptions,
  node: RaftNode,
  machine: () => StateMachine,
  logTimeMs: () => number | null,
): Proposals {
  const { id, limits, nameOf } = options;
  return new Proposals({
    ...{ id, limits, nameOf, logTimeMs },
    commandVersion: () => commandVersion(options, node, machine),
    lacking: (version) => lackingFormat(options, node.configuration, { kind: 'command', version }),
    term: () => node.term,
  });
}

export function makeStateHashes(
  options: ReplicaOptions,
  node: RaftNode,
  onDiverged: (error: BalsaError) => void,
): StateHashes {
  return new StateHashes({
    id: options.id,
    configuration: () => node.configuration,
    onMismatch: (member, checkpoint, ownHash) =>
      options.onNotice?.({ type: 'state-mismatch', member, ...checkpoint, ownHash }),
    onDiverged,
  });
}

/** All others compare it with their own (`StateHashes`). */
export function tellStateHash(
  { id, transport }: ReplicaOptions,
  node: RaftNode,
  checkpoint: StateCheckpoint,
): void {
  for (const member of otherMembers(node.configuration, id)) {
    transport.sendStateHash(member, checkpoint);
  }
}

export function makeCompaction(
  options: ReplicaOptions,
  node: RaftNode,
  parts: {
    readonly store: () => DurableStateStore;
    readonly snapshots: () => SnapshotTraffic;
    readonly enqueue: (event: RaftEvent) => void;
    readonly onFailure: (error: unknown) => void;
  },
): Compaction {
  const { clock, limits, failpoints, logStore, restoredLog } = options;
  const { store, snapshots, enqueue, onFailure } = parts;
  const { logStart, lastIndex } = restoredLog;
  const { bytes } = logStore.stats();
  return new Compaction({
    ...{ clock, limits, failpoints, store, onFailure },
    meter: new LogMeter({ startIndex: logStart.index, lastIndex, bytes }, limits.logBytesMax),
    logStart: () => node.logStart,
    lastIndex: () => node.lastIndex,
    appliedIndex: () => node.appliedIndex,
    termAt: (index) => node.termAt(index),
    pins: () => logPins(node, snapshots().pins),
    hardPin: () => snapshots().hardPin,
    compactTo: (position, done) => logStore.compactTo(position, done),
    onCompacted: (index) => enqueue({ type: 'compact', index }),
  });
}

interface CallsProposals {
  readonly proposals: Proposals;
  readonly planTurn: () => void;
}

export function makeCalls(
  options: ReplicaOptions,
  node: RaftNode,
  parts: Pick<CallsHost, 'machine' | 'canRun' | 'isQuiet' | 'confirm' | 'watches'> &
    CallsProposals & {
      readonly logTimeMs: () => number;
      readonly onFailure: (error: unknown) => void;
    },
): Calls {
  const { clock, limits, random, executor = null } = options;
  const { machine, canRun, isQuiet, confirm, watches, logTimeMs, proposals, planTurn } = parts;
  const times = { nowMs: () => Math.floor(clock.wallMs()), logMs: logTimeMs };
  const calls = new Calls({
    ...{ clock, limits, random, machine, canRun, isQuiet, confirm, watches, ...times },
    runner: new Runner({
      ...{ executor, random, machine, ...times, cellBytesMax: limits.cellBytesMax },
    }),
    ap: apHost(options, node, parts),
    jobs: jobHost(options, node, parts),
    propose: (records, done) => {
      proposals.addCalls(records, done);
      planTurn();
    },
    hold: (isHeld) => {
      proposals.hold(isHeld);
      if (!isHeld) planTurn();
    },
  });
  proposals.wallMs = () => calls.wallMs;
  return calls;
}

/** What deltas need of the replica; `null`: it has no queue for them. */
function apHost(
  options: ReplicaOptions,
  node: RaftNode,
  parts: Pick<CallsHost, 'machine' | 'canRun'> &
    CallsProposals & { readonly onFailure: (error: unknown) => void },
): CallsHost['ap'] {
  const { machine, canRun, proposals, planTurn, onFailure } = parts;
  const { id, clock, limits, random, deltas, transport, formatsOf } = options;
  if (deltas === undefined) return null;
  return {
    ...{ id, clock, limits, random, machine, queue: deltas, onFailure },
    isKept: (index) => index <= Math.min(node.savedCommitIndex, node.flushedIndex),
    startIndex: node.commitIndex,
    members: () => allMembers(node.configuration),
    onUnreadable: (member, { message }) =>
      options.onNotice?.({ type: 'deltas-unreadable', member, reason: message }),
    canMerge: () => canRun() && commandVersion(options, node, machine) >= MERGE_COMMANDS,
    canLower: () => commandVersion(options, node, machine) >= MERGED_KEYS_BY_KIND,
    propose: (merge, done) => {
      proposals.addMerge(merge, done);
      planTurn();
    },
    // Who does not know of deltas would take them for the end of the stream.
    send: (to, frame) => {
      if ((formatsOf(to)?.command ?? 1) >= MERGE_COMMANDS) transport.sendDeltas(to, frame);
    },
  };
}

/** So long steps of jobs wait for writes of clients to go to the disk with. */
const JOBS_PATIENCE_MS = 20;

function jobHost(
  options: ReplicaOptions,
  node: RaftNode,
  parts: Pick<CallsHost, 'machine' | 'canRun'> &
    CallsProposals & { readonly logTimeMs: () => number },
): CallsHost['jobs'] {
  const { machine, canRun, proposals, planTurn, logTimeMs } = parts;
  const { id, clock, limits, random, transport, formatsOf, nameOf, taskExecutor = null } = options;
  return {
    ...{ id, name: nameOf(id), clock, limits, random, machine, executor: taskExecutor },
    nowMs: logTimeMs,
    operations: () => proposals.operations,
    loopUse: options.loopUse ?? (() => 0),
    machineUse: options.machineUse ?? (() => 0),
    processors: availableParallelism(),
    leader: () => node.leader,
    canPropose: () => canRun() && commandVersion(options, node, machine) >= JOB_COMMANDS,
    propose: (steps, isPatient, done) => {
      proposals.addJobs(steps, done);
      // A frame of its own would keep those that come next from the disk for as long as it takes.
      if (isPatient) clock.setTimer(JOBS_PATIENCE_MS, planTurn);
      else planTurn();
    },
    // Who does not know of jobs would take it for the end of the stream.
    send: (to, frame) => {
      if ((formatsOf(to)?.command ?? 1) >= JOB_COMMANDS) transport.sendJobs(to, frame);
    },
  };
}

export function stopping(): BalsaError {
  return new BalsaError('SHUTTING_DOWN', 'the replica is stopping');
}
