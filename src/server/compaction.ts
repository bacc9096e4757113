import type { Clock } from '../base/clock.js';
import type { Failpoints } from '../base/failpoints.js';
import type { Limits } from '../base/limits.js';
import type { Entry, LogIndex, LogPosition, Term } from '../raft/types.js';
import type { DurableStateStore } from '../storage/snapshot.js';
import { compactionTarget, isCompactionDue } from './compaction-policy.js';
import type { LogMeter } from './log-meter.js';

/** What is due and cannot be done now is looked at again after this time. */
const RETRY_MS = 100;

export interface CompactionHost {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly failpoints: Failpoints;
  readonly meter: LogMeter;
  readonly store: () => DurableStateStore;
  readonly logStart: () => LogPosition;
  readonly lastIndex: () => LogIndex;
  /** As the core knows it: it must have heard of all that is cut. */
  readonly appliedIndex: () => LogIndex;
  readonly termAt: (index: LogIndex) => Term | null;
  /** Places behind which followers, and members with a snapshot on its way, will need the log. */
  readonly pins: () => readonly LogIndex[];
  readonly hardPin: () => LogIndex;
  /** The log on disk may be cut here; `done` when it is. */
  readonly compactTo: (position: LogPosition, done: (error: Error | null) => void) => void;
  /** The core must hear of it. */
  readonly onCompacted: (index: LogIndex) => void;
  readonly onFailure: (error: unknown) => void;
}

/**
 * Cuts the log when it has grown beyond its bounds: at every replica, each for itself. First the state
 * is synced, so that after a power failure state and log still meet; then the log on disk is cut;
 * then the core hears of it.
 */
export class Compaction {
  readonly #host: CompactionHost;
  #busy = false;
  #suspended = false;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #whenIdle: (() => void)[] = [];

  constructor(host: CompactionHost) {
    this.#host = host;
  }

  appended(entries: readonly Entry[]): void {
    this.#host.meter.appended(entries);
  }

  /** Called often; does something when it is due and possible. */
  consider(): void {
    if (this.#busy || this.#suspended || !isCompactionDue(this.#facts())) return;
    const nowMs = this.#host.clock.monotonicMs();
    if (nowMs < this.#notBeforeMs) return;
    this.#notBeforeMs = nowMs + RETRY_MS;
    const target = this.#target();
    if (target === null) return;
    this.#busy = true;
    this.#compact(target).then(
      () => this.#idle(),
      (error: unknown) => {
        this.#idle();
        this.#host.onFailure(error);
      },
    );
  }

  /** No more of it from now on; calls back when what is under way is done. */
  suspend(callback: () => void): void {
    this.#suspended = true;
    if (this.#busy) this.#whenIdle.push(callback);
    else callback();
  }

  /** A snapshot has taken the place of the whole log. */
  resume(start: LogPosition): void {
    this.#host.meter.reset(start.index);
    this.#suspended = false;
  }

  async #compact(wanted: LogIndex): Promise<void> {
    const { failpoints, store } = this.#host;
    if (store().syncedIndex() < wanted) {
      failpoints.hit('compaction.before-sync');
      await store().sync();
    }
    // Meanwhile a follower may have come back, or a snapshot may have been begun.
    const target = this.#target();
    if (this.#suspended || target === null) return;
    const index = Math.min(target, store().syncedIndex());
    const term = this.#host.termAt(index);
    if (term === null || index <= this.#host.logStart().index) return;
    await this.#cut({ index, term });
  }

  async #cut(position: LogPosition): Promise<void> {
    const { failpoints, compactTo, onCompacted, meter } = this.#host;
    failpoints.hit('compaction.before-log');
    await new Promise<void>((resolve, reject) => {
      compactTo(position, (error) => (error === null ? resolve() : reject(error)));
    });
    failpoints.hit('compaction.after-log');
    meter.cutThrough(position.index);
    onCompacted(position.index);
  }

  #idle(): void {
    this.#busy = false;
    for (const callback of this.#whenIdle.splice(0)) callback();
  }

  #target(): LogIndex | null {
    const { pins, hardPin } = this.#host;
    return compactionTarget({ ...this.#facts(), pins: pins(), hardPin: hardPin() });
  }

  #facts() {
    const { logStart, lastIndex, appliedIndex, meter, limits } = this.#host;
    return {
      startIndex: logStart().index,
      lastIndex: lastIndex(),
      appliedIndex: appliedIndex(),
      meter,
      limits,
    };
  }
}
