import { countWhile } from '../../src/base/binary-search.js';
import type { WriteEvent } from '../../src/statemachine/types.js';
import { type Scheduler, Violation } from './scheduler.js';

/** What was written, as the replicas have applied it: the truth that watches are compared with. */
export class WatchHistory {
  readonly #scheduler: Scheduler;
  /** By revision; in short, as {@link describeEvent} says it. */
  readonly #revisions: (readonly WrittenEvent[])[] = [];
  /** When the first replica had applied each of them. */
  readonly #appliedMs: number[] = [];

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  /** The highest one that any replica has given up the history before. */
  compactedRevision = 0;

  get revision(): number {
    return this.#revisions.length;
  }

  /** A replica has applied these; the first one to do so tells what they are. */
  applied(events: readonly WriteEvent[]): void {
    const byRevision = new Map<number, WriteEvent[]>();
    for (const event of events) {
      const group = byRevision.get(event.revision);
      if (group === undefined) byRevision.set(event.revision, [event]);
      else group.push(event);
    }
    for (const [revision, group] of byRevision) {
      const known = this.#revisions[revision - 1];
      const written = group.map(toWritten);
      if (known === undefined) {
        this.#revisions[revision - 1] = written;
        this.#appliedMs[revision - 1] = this.#scheduler.nowMs;
      } else if (known.join() !== written.join()) {
        this.#scheduler.fail(new Violation(`two replicas tell different events of ${revision}`));
      }
    }
  }

  at(revision: number): readonly WrittenEvent[] {
    return this.#revisions[revision - 1] ?? [];
  }

  /** When the first replica had applied it. */
  appliedMs(revision: number): number {
    return this.#appliedMs[revision - 1] ?? Number.POSITIVE_INFINITY;
  }

  /** The highest one that some replica had applied before this time. */
  revisionBefore(ms: number): number {
    return countWhile<number | undefined>(
      this.#appliedMs,
      (appliedMs = Number.POSITIVE_INFINITY) => appliedMs < ms,
    );
  }

  /** Events from `fromRevision` on that are in the range and of the kind. */
  events(asked: {
    readonly fromRevision: number;
    readonly prefix: string;
    readonly isKey: boolean;
    readonly only: 'puts' | 'deletes' | undefined;
  }): WrittenEvent[] {
    const { fromRevision, prefix, isKey, only } = asked;
    return this.#revisions.slice(fromRevision - 1).flatMap((events) =>
      events.filter(({ key, type }) => {
        if (isKey ? key !== prefix : !key.startsWith(prefix)) return false;
        return only === undefined || (only === 'puts') === (type === 'put');
      }),
    );
  }

  /** What the key was set to before this revision; `undefined`: it did not exist. */
  valueBefore(key: string, revision: number): string | undefined {
    return this.writeBefore(key, revision)?.value;
  }

  /** The put that this revision took the place of; `undefined`: the key did not exist. */
  writeBefore(key: string, revision: number): WrittenEvent | undefined {
    for (let at = revision - 2; at >= 0; at -= 1) {
      const event = this.#revisions[at]?.find((each) => each.key === key);
      if (event !== undefined) return event.type === 'put' ? event : undefined;
    }
    return undefined;
  }
}

export class WrittenEvent {
  constructor(
    readonly revision: number,
    readonly type: 'put' | 'delete',
    readonly key: string,
    readonly value: string,
  ) {}

  toString(): string {
    return describeEvent(this);
  }
}

export function describeEvent(event: {
  readonly revision: number;
  readonly type: 'put' | 'delete';
  readonly key: string;
  readonly value: string | undefined;
}): string {
  const { revision, type, key, value = '' } = event;
  return `${revision} ${type} ${key}=${value.replace(/\.+$/, '')}`;
}

function toWritten({ revision, type, key, value }: WriteEvent): WrittenEvent {
  return new WrittenEvent(
    revision,
    type,
    Buffer.from(key).toString(),
    Buffer.from(value).toString(),
  );
}
