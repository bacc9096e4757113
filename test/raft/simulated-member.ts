import type { RaftNode } from '../../src/raft/raft-node.js';
import type {
  DiskWrite,
  Entry,
  HardState,
  LogIndex,
  MemberId,
  Message,
  ReadAnswer,
  Role,
} from '../../src/raft/types.js';

/** A write, and the messages that wait for it. */
export interface PendingWrite {
  readonly write: DiskWrite;
  readonly messages: Message[];
}

/** A core with its disk. */
export class SimulatedMember {
  readonly id: MemberId;
  /** `null` while it is down. */
  node: RaftNode | null = null;
  starts = 0;
  /** What a crash leaves. */
  durable: { hardState: HardState; entries: Entry[]; appliedIndex: LogIndex };
  /** The log as the core has asked it to be written, durable or not. */
  log: Entry[] = [];
  pending: PendingWrite[] = [];
  appliedIndex: LogIndex = 0;
  role: Role = 'follower';
  reads = new Map<number, LogIndex>();
  answers: ReadAnswer[] = [];

  constructor(id: MemberId, entries: readonly Entry[], term: number) {
    this.id = id;
    this.durable = {
      hardState: { currentTerm: term, votedFor: null, commitIndex: 0 },
      entries: [...entries],
      appliedIndex: 0,
    };
  }
}
