import { toMapKey } from '../../base/bytes.js';
import type { GroupNews } from '../../compute/execution.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import type { WriteEvent } from '../../statemachine/types.js';

/** Beyond so many, all that was kept counts no more. */
const CHANGED_MAX = 10_000;

/** What happens to the keys of the store between two groups of the lane, for whoever keeps what it has read. */
export class LaneNews {
  #observed: StateMachine | null = null;
  /** Written since the last group, with the revision; `null`: too many. */
  #changed: Map<string, WriteEvent> | null = new Map();
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

  /** What became of a group: of each of its records the revision, `null` where it was not applied. */
  ended(revisions: readonly (number | null)[]): void {
    this.#revisions = revisions;
    const own = new Set(revisions);
    for (const [mapKey, { revision }] of this.#changed ?? []) {
      if (own.has(revision)) this.#changed?.delete(mapKey);
    }
  }

  /** Since the last time. */
  take(): GroupNews {
    const revisions = this.#revisions;
    const changed = this.#changed === null ? null : [...this.#changed.values()];
    this.#revisions = null;
    this.#changed = new Map();
    return { revisions, changed: changed?.map(({ key }) => key) ?? null };
  }

  #heard(events: readonly WriteEvent[]): void {
    for (const event of events) {
      if (this.#changed === null) return;
      this.#changed.set(toMapKey(event.key), event);
      if (this.#changed.size > CHANGED_MAX) this.#changed = null;
    }
  }
}
