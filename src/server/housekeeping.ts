import type { Clock, Timer } from '../base/clock.js';
import type { Limits } from '../base/limits.js';
import type { StoreObservation, SystemOperation } from '../statemachine/types.js';
import type { SystemDone } from './proposals.js';

/** What the state machine says of the work that is due. */
export type KeptState = Pick<
  StoreObservation,
  'logTimeMs' | 'revision' | 'compactedRevision' | 'sweptRevision' | 'dueLeases' | 'revisionToKeep'
>;

export interface HousekeepingOptions {
  readonly clock: Clock;
  readonly limits: Pick<Limits, 'sweepRecordsMax'>;
  /** This member leads, and all members can read what the leader itself proposes. */
  readonly canPropose: () => boolean;
  /** `null`: not known yet. */
  readonly logTimeMs: () => number | null;
  readonly machine: () => KeptState;
  /** `done` is told once. None: an entry that only carries the time. */
  readonly propose: (operations: readonly SystemOperation[], done: SystemDone) => void;
  /** The state cannot be read. */
  readonly onFailure: (error: unknown) => void;
}

/** Leases that one entry lets expire: their keys go in one go, while all others wait. */
const EXPIRED_PER_ENTRY_MAX = 64;
/** And their keys, unless those of a single one are more. */
const EXPIRED_KEYS_PER_ENTRY_MAX = 10_000;
/** Between two compactions that the leader decides on: each is an entry, and few revisions are no gain. */
const COMPACTION_INTERVAL_MS = 1000;
/**
 * While there are leases, the time in the log is never older than this. A new leader goes on from there, so
 * that leases live longer by at most this and the time without a leader.
 */
const TIME_MARK_MS = 2000;
/** A sweep rests at most so many times as long as its last slice took from proposal to apply. */
const SWEEP_REST_MAX = 3;
/** It rests less where it would fall behind: so many records are swept for each revision that is written meanwhile. */
const SWEPT_PER_WRITTEN = 1.5;

/**
 * What the leader does by itself, through the log like everything else: lets leases expire, compacts by age
 * or number of revisions, and sweeps what is no longer kept. It only looks at what is due when the
 * consensus module has a tick; with nothing to do it costs nothing.
 *
 * Of each kind one proposal at a time is under way. It proposes; what comes of it is decided when it is applied: a leader that
 * has been replaced without knowing it can let nothing expire.
 */
export class Housekeeping {
  readonly #options: HousekeepingOptions;
  #isTending = false;
  #isSweeping = false;
  #compactedAtMs = Number.NEGATIVE_INFINITY;
  #restTimer: Timer | null = null;
  #stopped = false;

  constructor(options: HousekeepingOptions) {
    this.#options = options;
  }

  tick(): void {
    if (this.#stopped || !this.#options.canPropose()) return;
    const nowMs = this.#options.logTimeMs();
    if (nowMs === null) return;
    try {
      this.#tend(nowMs);
      this.#sweep();
    } catch (error) {
      this.#options.onFailure(error);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#restTimer?.cancel();
  }

  #tend(nowMs: number): void {
    if (this.#isTending) return;
    const machine = this.#options.machine();
    const operations: SystemOperation[] = [];
    const leases = machine.dueLeases(nowMs, EXPIRED_PER_ENTRY_MAX, EXPIRED_KEYS_PER_ENTRY_MAX);
    if (leases.length > 0) operations.push({ type: 'expire', leases });
    const revision = this.#revisionToCompact(machine, nowMs);
    if (revision !== null) operations.push({ type: 'compact', revision });
    if (operations.length === 0 && !needsTimeMark(machine, nowMs)) return;
    this.#isTending = true;
    this.#options.propose(operations, (applied) => {
      this.#isTending = false;
      // There may be more that are due.
      if (applied && leases.length === EXPIRED_PER_ENTRY_MAX) this.tick();
    });
  }

  #revisionToCompact(machine: KeptState, nowMs: number): number | null {
    const monotonicMs = this.#options.clock.monotonicMs();
    if (monotonicMs - this.#compactedAtMs < COMPACTION_INTERVAL_MS) return null;
    const revision = machine.revisionToKeep(nowMs);
    if (revision !== null) this.#compactedAtMs = monotonicMs;
    return revision;
  }

  #sweep(): void {
    if (this.#isSweeping || this.#restTimer !== null) return;
    const { clock, limits, machine, propose } = this.#options;
    const { revision, compactedRevision, sweptRevision } = machine();
    if (sweptRevision >= compactedRevision) return;
    this.#isSweeping = true;
    const begunMs = clock.monotonicMs();
    propose([{ type: 'sweep', records: limits.sweepRecordsMax }], (applied) => {
      this.#isSweeping = false;
      if (this.#stopped || !applied) return;
      const tookMs = clock.monotonicMs() - begunMs;
      const written = machine().revision - revision;
      this.#restTimer = clock.setTimer(restMs(tookMs, written, limits.sweepRecordsMax), () => {
        this.#restTimer = null;
        this.tick();
      });
    });
  }
}

/**
 * Writes come first: the longer a slice takes beside them, the longer the next one waits. But not so long that more is written than
 * swept, or the history grows for ever.
 */
function restMs(tookMs: number, written: number, records: number): number {
  const longestMs = SWEEP_REST_MAX * tookMs;
  const enoughMs = (records * tookMs) / (SWEPT_PER_WRITTEN * written) - tookMs;
  return written === 0 ? longestMs : Math.max(0, Math.min(longestMs, enoughMs));
}

function needsTimeMark(machine: KeptState, nowMs: number): boolean {
  if (nowMs - machine.logTimeMs < TIME_MARK_MS) return false;
  // Sooner or later all are due.
  return machine.dueLeases(Number.MAX_SAFE_INTEGER, 1).length > 0;
}
