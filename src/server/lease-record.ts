import type { Clock, Timer } from '../base/clock.js';
import { asBalsaError, type BalsaError } from '../base/errors.js';
import type { ServerConfig } from './config.js';

/** Share of the election timeout that a lease lasts: it must be over before anybody else can lead. */
const LEASE_SHARE = 0.9;

/** How long the leases are that this replica asks for, and promises at most; 0: none. */
export function leaseMsOf(config: Pick<ServerConfig, 'leaseReads' | 'electionTimeoutMs'>): number {
  return config.leaseReads ? Math.floor(config.electionTimeoutMs * LEASE_SHARE) : 0;
}

/**
 * How long a lease this replica may have promised. A promise is not on disk, so that after a restart it
 * is kept by a wait (see `VotePromise`). How long that must be is what the replica was configured with
 * when it promised, not what it is configured with now: it may have been restarted just to have shorter
 * leases, or none, while the leader still counts on the long one. So the length is on disk before
 * anything is promised, and the shorter one only when the wait is over.
 */
export class LeaseRecord {
  /** What an earlier start may have promised, in milliseconds. */
  readonly beforeMs: number;
  readonly #timer: Timer | null;

  constructor(options: {
    /** As on disk. */
    readonly recordedMs: number;
    readonly leaseMs: number;
    readonly clock: Clock;
    /** Durable when it returns. */
    readonly write: (leaseMs: number) => void;
    /** It could not be written, later. */
    readonly onFailure: (error: BalsaError) => void;
  }) {
    const { recordedMs, leaseMs, clock, write, onFailure } = options;
    this.beforeMs = recordedMs;
    if (recordedMs < leaseMs) write(leaseMs);
    const forget = (): void => {
      try {
        write(leaseMs);
      } catch (error) {
        onFailure(asBalsaError(error));
      }
    };
    // Twice, since the wait itself begins a moment later.
    this.#timer = recordedMs > leaseMs ? clock.setTimer(2 * recordedMs, forget) : null;
  }

  stop(): void {
    this.#timer?.cancel();
  }
}
