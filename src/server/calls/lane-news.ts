import { fromMapKey, toMapKey } from '../../base/bytes.js';
import type { GroupNews } from '../../compute/execution.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import type { WriteEvent } from '../../statemachine/types.js';

/** Beyond so many, all that was kept counts no more. */
const CHANGED_MAX = 10_000;

/** What happens to the keys of the store between two groups of the lane, for whoever keeps what it has read. */
export class LaneNews {
  #observed: StateMachine | null = null;
  /** Keys (`toMapKey`) written since the last group, with the revision; `null`: too many. An event would keep its log entry. */
  #changed: Map<string, number> | null = new Map();
  #revisions: readonly (number | null)[] | null = null;

  /** Hears of all writes to this state from now on. */
  follow(machine: StateMachine): void {
    if (this.#observed === machine) return;
    this.stop();
    this.#observed = machine;
    machine.observeWrites((events) => this.#heard(events));
  }

  /** What becomes of the state is not heard any more. */
  stop(): void {
    this.#observed?.observeWrites(null);
    this.#observed = null;
    this.#revisions = null;
    this.#changed = new Map();
  }

  /**
   * What became of a group: of each of its records the revision, `null` where it was not applied.
   * @param keysOf what the record at this place would write: one that has changed nothing has the revision of whoever wrote last
   */
  ended(
    revisions: readonly (number | null)[],
    keysOf: (place: number) => readonly Uint8Array[],
  ): void {
    this.#revisions = revisions;
    const changed = this.#changed;
    const first = revisions.findIndex((revision) => revision !== null);
    if (changed === null || changed.size === 0 || first < 0) return;
    // They rise along the group: only that of the first one may be another's.
    const own = new Set(revisions);
    const shared = revisions[first] as number;
    own.delete(shared);
    for (const [mapKey, revision] of changed) {
      if (own.has(revision)) changed.delete(mapKey);
    }
    for (const key of keysOf(first).map(toMapKey)) {
      if (changed.get(key) === shared) changed.delete(key);
    }
  }

  /** Since the last time. */
  take(): GroupNews {
    const revisions = this.#revisions;
    const changed = this.#changed === null ? null : [...this.#changed.keys()].map(fromMapKey);
    this.#revisions = null;
    this.#changed = new Map();
    return { revisions, changed };
  }

  #heard(events: readonly WriteEvent[]): void {
    for (const { key, revision } of events) {
      if (this.#changed === null) return;
      this.#changed.set(toMapKey(key), revision);
      if (this.#changed.size > CHANGED_MAX) this.#changed = null;
    }
  }
}
