import type { RaftNode } from '../../src/raft/raft-node.js';
import type {
  Configuration,
  ConfigurationAnswer,
  CoreEvent,
  DiskWrite,
  Entry,
  HardState,
  LogIndex,
  LogPosition,
  MemberId,
  Message,
  RaftEvent,
  ReadAnswer,
  Role,
  SnapshotOffer,
  TransferAnswer,
} from '../../src/raft/types.js';

/** A write, and the messages that wait for it. */
export interface PendingWrite {
  readonly write: DiskWrite;
  readonly messages: Message[];
}

/** A snapshot that takes the place of state and log, step by step. */
export interface Installing {
  readonly offer: SnapshotOffer;
  /** The writes through this one come first. */
  readonly behindWrite: number;
  stage: 'received' | 'switched' | 'reset';
}

/**
 * A core with its disk. Logs are kept whole for the checks, from index 1; core and disk know only what
 * is behind `logStart`.
 */
export class SimulatedMember {
  readonly id: MemberId;
  /** `null` while it is down. */
  node: RaftNode | null = null;
  starts = 0;
  /** What a crash leaves. */
  durable: {
    hardState: HardState;
    entries: Entry[];
    logStart: LogPosition;
    appliedIndex: LogIndex;
    /** The snapshot with which the state began. */
    installed: LogPosition | null;
    /** The configuration of before the first entry. */
    formed: Configuration;
  };
  /** The log as the core has asked it to be written, durable or not. */
  log: Entry[] = [];
  pending: PendingWrite[] = [];
  /** Reads of the disk, and news of it, that the core has not been told of. */
  io: (() => RaftEvent)[] = [];
  installing: Installing | null = null;
  /** Its clock runs by so much faster than it should, and shows something else. */
  clock = { rate: 1, offsetMs: 0 };
  appliedIndex: LogIndex = 0;
  role: Role = 'follower';
  /** The one in effect when its latest step began: what was committed in it, was so by this. */
  configuration: Configuration | null = null;
  reads = new Map<number, LogIndex>();
  answers: ReadAnswer[] = [];
  changes: ConfigurationAnswer[] = [];
  transfers: TransferAnswer[] = [];
  events: CoreEvent[] = [];

  constructor(
    id: MemberId,
    disk: {
      readonly entries: readonly Entry[];
      readonly term: number;
      readonly formed: Configuration;
    },
  ) {
    const { entries, term, formed } = disk;
    this.id = id;
    this.durable = {
      hardState: { currentTerm: term, votedFor: null, commitIndex: 0 },
      entries: [...entries],
      logStart: { index: 0, term: 0 },
      appliedIndex: 0,
      installed: null,
      formed,
    };
  }
}
