import type { Jobs } from './jobs/jobs.js';
import type { Keyspace } from './keyspace.js';
import type { Procedures } from './procedures.js';
import type { Settings } from './settings.js';
import { neededByTriggers } from './trigger-cursors.js';

/** The oldest revision that somebody needs, and who. */
export interface HistoryHold {
  readonly revision: number;
  readonly reason: string;
}

export interface HistoryHoldsParts {
  readonly keyspace: Keyspace;
  readonly procedures: Procedures;
  readonly settings: Settings;
  readonly jobs: Jobs;
}

/**
 * What compaction leaves alone: writes that a trigger has not been called with, and the revision that a job which is under way
 * reads. What was written while nobody could call a trigger is its to see, however long that takes; but a store that is full is
 * not kept so by one that never gets on. Jobs hold theirs for a bounded time.
 */
export class HistoryHolds {
  readonly #parts: HistoryHoldsParts;

  constructor(parts: HistoryHoldsParts) {
    this.#parts = parts;
  }

  /**
   * `null`: nobody needs anything older than the latest.
   * @param version of the entry, see `command-versions`
   */
  oldest(timeMs: number, version: number): HistoryHold | null {
    const { keyspace, procedures, settings, jobs } = this.#parts;
    const pinned = jobs.pinnedRevision(timeMs);
    const trigger = settings.isFull(keyspace.spaceBytes)
      ? null
      : neededByTriggers(procedures, keyspace, version);
    if (trigger !== null && (pinned === null || trigger.revision <= pinned)) {
      const { name, revision } = trigger;
      const reason = `the trigger ${name} has not been called with what was written at revision ${revision} yet`;
      return { revision, reason: `${reason}: compact when it has, or remove it` };
    }
    if (pinned === null) return null;
    const reason = `a job that is under way reads keys as of revision ${pinned}`;
    return { revision: pinned, reason: `${reason}: compact when it has ended, or cancel it` };
  }
}
