import { BalsaError } from '../base/errors.js';
import type { Configuration, LogIndex, MemberId } from '../raft/types.js';
import type { StateCheckpoint } from './transport.js';

/** Checkpoints that are remembered; the oldest go first. */
const CHECKPOINTS_MAX = 64;

interface Checkpoint {
  own: number | null;
  readonly others: Map<MemberId, number>;
}

export interface StateHashesHost {
  readonly id: MemberId;
  readonly configuration: () => Configuration;
  /** Another one differs, and no majority says who is right. */
  readonly onMismatch: (member: MemberId, checkpoint: StateCheckpoint, ownHash: number) => void;
  /** `STATE_DIVERGED`: a majority of the voters has another state than this replica. */
  readonly onDiverged: (error: BalsaError) => void;
}

/**
 * Compares the state with that of the other replicas: after the same entry all must have the same
 * hash. One that differs from a majority of voters which agree with one another must not go on: what
 * it would answer is wrong. (A bug or a flipped bit in memory is how that comes about, and no
 * checksum of a disk finds it.)
 */
export class StateHashes {
  readonly #host: StateHashesHost;
  readonly #checkpoints = new Map<LogIndex, Checkpoint>();

  constructor(host: StateHashesHost) {
    this.#host = host;
  }

  /** This replica has applied through `index`. */
  own({ index, hash }: StateCheckpoint): void {
    const checkpoint = this.#at(index);
    if (checkpoint === null) return;
    checkpoint.own = hash;
    // All of them, as whoever answered first may be the one that is wrong; each hash once.
    const judged = new Set([hash]);
    for (const [member, other] of checkpoint.others) {
      if (judged.has(other)) continue;
      judged.add(other);
      this.#judge(member, { index, hash: other }, checkpoint);
    }
  }

  /** Another replica says what it has there. */
  received(member: MemberId, { index, hash }: StateCheckpoint): void {
    if (member === this.#host.id) return;
    const checkpoint = this.#at(index);
    if (checkpoint === null) return;
    checkpoint.others.set(member, hash);
    if (checkpoint.own === null || checkpoint.own === hash) return;
    this.#judge(member, { index, hash }, checkpoint);
  }

  #judge(member: MemberId, differing: StateCheckpoint, checkpoint: Checkpoint): void {
    const { own } = checkpoint;
    if (own === null) return;
    const { index, hash } = differing;
    const { voters, votersOutgoing } = this.#host.configuration();
    const isMajority = (half: readonly MemberId[]): boolean => {
      const agreeing = half.filter((voter) => checkpoint.others.get(voter) === hash);
      return half.length === 0 || agreeing.length * 2 > half.length;
    };
    if (voters.length > 0 && isMajority(voters) && isMajority(votersOutgoing)) {
      this.#host.onDiverged(diverged(index, { own, majority: hash }));
    } else {
      this.#host.onMismatch(member, differing, own);
    }
  }

  /** `null`: too old to be remembered. */
  #at(index: LogIndex): Checkpoint | null {
    const known = this.#checkpoints.get(index);
    if (known !== undefined) return known;
    if (this.#checkpoints.size >= CHECKPOINTS_MAX) {
      const oldest = Math.min(...this.#checkpoints.keys());
      if (index < oldest) return null;
      this.#checkpoints.delete(oldest);
    }
    const checkpoint: Checkpoint = { own: null, others: new Map() };
    this.#checkpoints.set(index, checkpoint);
    return checkpoint;
  }
}

function diverged(index: LogIndex, hashes: { own: number; majority: number }): BalsaError {
  const own = hex(hashes.own);
  const majority = hex(hashes.majority);
  return new BalsaError(
    'STATE_DIVERGED',
    `after log entry ${index} the state here has hash ${own}, at a majority of the voters ${majority}`,
    { details: { index, hash: own, majorityHash: majority } },
  );
}

function hex(hash: number): string {
  return hash.toString(16).padStart(8, '0');
}
