import type { Clock } from '../base/clock.js';
import type { BalsaError } from '../base/errors.js';
import type { Failpoints } from '../base/failpoints.js';
import type { Limits } from '../base/limits.js';
import type { Random } from '../base/random.js';
import type { Executor } from '../compute/execution.js';
import type { Configuration, CoreEvent, LogIndex, MemberId } from '../raft/types.js';
import type { Channel, ChannelHandlers } from '../rpc/channel.js';
import type { FormatVersions } from '../rpc/peer-protocol.js';
import type { StateMachine } from '../statemachine/state-machine.js';
import type { StateStore } from '../statemachine/state-store.js';
import type { DeltaQueue } from '../storage/delta-queue.js';
import type { LogStore, RestoredLog } from '../storage/log-store.js';
import type { StateVault } from '../storage/snapshot.js';
import type { Transport } from './transport.js';

/** All that a {@link Replica} leans on. Nothing in it knows whether time and disks are real. */
export interface ReplicaOptions {
  readonly id: MemberId;
  readonly cluster: { readonly name: string; readonly id: string };
  /** The one that the cluster was formed with; the state machine and the log may know a later one. */
  readonly configuration: Configuration;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: Limits;
  readonly failpoints: Failpoints;

  readonly tickMs: number;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** See `RaftOptions`. */
  readonly priority: number;
  readonly leaseMs: number;
  readonly leaseMsBefore?: number;
  readonly leaseDriftMargin: number;
  readonly diskStallTicks: number;

  readonly logStore: LogStore;
  /** What the log holds, as `finishInstall` says: `logStore.restored`, unless the log was reset since. */
  readonly restoredLog: RestoredLog;
  /** The state on disk. The replica uses `vault.current`, and switches it when it installs a snapshot. */
  readonly vault: StateVault;
  /** Over `vault.current`. */
  readonly machine: StateMachine;
  /** Opens the state machine over the state of a snapshot that was installed. */
  readonly openMachine: (store: StateStore) => Promise<StateMachine>;

  /** Runs the code of procedures; absent: this replica runs none. */
  readonly executor?: Executor | undefined;

  /** Runs tasks of jobs, so many at a time as `taskThreadsMax` says; absent: this replica runs none. */
  readonly taskExecutor?: Executor | undefined;

  /** How much of the time, lately, the event loop had something to do: from 0 to 1. Absent: never anything. */
  readonly loopUse?: (() => number) | undefined;

  /** The same of the processors of this machine. */
  readonly machineUse?: (() => number) | undefined;

  /** Of what `ap` calls made here and others copied to here; absent: this replica runs none. */
  readonly deltas?: DeltaQueue | undefined;

  readonly transport: Transport;
  /**
   * Opens a stream to `PEER_SNAPSHOT_PATH` of a member. Never throws: what goes wrong, also that the
   * address is not known, comes as `onClose`, later.
   */
  readonly dialSnapshot: (member: MemberId, handlers: ChannelHandlers) => Channel;
  /** What this version can read. */
  readonly formats: FormatVersions;
  /** What a member said it can read in its last hello; `null`: it never said. */
  readonly formatsOf: (member: MemberId) => FormatVersions | null;
  /** The name by which clients know a member. */
  readonly nameOf: (member: MemberId) => string;

  readonly onEvent: (event: CoreEvent) => void;
  /** What happens around the core, for logs and metrics. */
  readonly onNotice?: (notice: ReplicaNotice) => void;
  /** Behind each turn: a good moment to send the answers it gave. */
  readonly afterTurn: () => void;
  /** Called once: the replica has stopped because of this. `STATE_DIVERGED`: it must not vote again. */
  readonly onFailure: (error: BalsaError) => void;
}

export type ReplicaNotice =
  | {
      readonly type: 'snapshot-sending';
      readonly phase: 'started' | 'resumed' | 'broken' | 'sent' | 'failed' | 'cancelled';
      /** `null`: a client, for a backup. */
      readonly member: MemberId | null;
      readonly index: LogIndex;
      readonly bytes: number;
      readonly reason: string | null;
    }
  | {
      readonly type: 'snapshot-receiving';
      readonly phase: 'started' | 'resumed' | 'broken' | 'received' | 'refused' | 'abandoned';
      readonly member: MemberId;
      readonly index: LogIndex;
      readonly reason: string | null;
    }
  /** Another member has another state at this index, and there is no majority against this one. */
  | {
      readonly type: 'state-mismatch';
      readonly member: MemberId;
      readonly index: LogIndex;
      readonly hash: number;
      readonly ownHash: number;
    }
  /** What `ap` calls have left that this member sends cannot be read here: none of it is copied, nor what comes behind it. */
  | {
      readonly type: 'deltas-unreadable';
      readonly member: MemberId;
      readonly reason: string;
    };

/** What a stream that somebody else opened hands its frames to. */
export interface ChannelReceiver {
  receive(frame: Buffer): void;
  /** A part of a large frame has come, of which more is on its way. */
  partReceived?(): void;
  /** There was no room for a part of a large frame (`partialFrameBytesMax`): no more comes. Without it the stream is cut off. */
  refused?(): void;
  /** The stream is over. */
  closed(): void;
}

/** Snapshots that are under way, for status and metrics. */
export interface SnapshotStatus {
  readonly sending: readonly {
    /** `null`: a client, for a backup. */
    readonly member: MemberId | null;
    readonly index: LogIndex;
    readonly bytes: number;
  }[];
  readonly receiving: {
    readonly member: MemberId;
    readonly index: LogIndex;
    readonly chunks: number;
  } | null;
  readonly installing: boolean;
  /** Since the start. */
  readonly sent: number;
  readonly installed: number;
}
