import type { LogIndex, MemberId, Message } from '../raft/types.js';
import type { DeltaFrame } from '../rpc/delta-frames.js';
import type { JobFrame } from '../rpc/job-frames.js';

/**
 * Carries messages of the consensus module to the other members. Best effort: it returns nothing,
 * since Raft survives loss. What arrives from others is handed to `Replica.receive`.
 */
export interface Transport {
  send(to: MemberId, messages: readonly Message[]): void;
  /** Best effort, too; arrives at `Replica.receiveStateHash`. */
  sendStateHash(to: MemberId, checkpoint: StateCheckpoint): void;
  /** Best effort, too; arrives at `Calls.receiveDeltas`. */
  sendDeltas(to: MemberId, frame: DeltaFrame): void;
  /** Best effort, too; arrives at `Jobs.receive`. */
  sendJobs(to: MemberId, frame: JobFrame): void;
}

/** The hash of the state exactly after entry `index`. */
export interface StateCheckpoint {
  readonly index: LogIndex;
  readonly hash: number;
}
