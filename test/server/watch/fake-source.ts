import { BalsaError } from '../../../src/base/errors.js';
import type { KeyValue } from '../../../src/base/operation.js';
import type { WatchSource } from '../../../src/server/watch-source.js';
import type {
  HistoryPage,
  HistoryQuery,
  WriteEvent,
  WritesListener,
} from '../../../src/statemachine/types.js';

/** What one write of a test is: a value, or `null` for a deletion. */
export type Writes = Readonly<Record<string, string | null>>;

/** The history of a store, in memory. Reading it takes as long as the test likes. */
export class FakeSource implements WatchSource {
  readonly events: WriteEvent[] = [];
  revision = 0;
  compactedRevision = 0;
  /** Events that one page gives at most, whatever is asked for. */
  pageEventsMax = Number.POSITIVE_INFINITY;
  /** Revisions at which pages of history began. */
  readonly pages: number[] = [];
  /** Holds answers up, until {@link release}. */
  isHeld = false;
  #held: (() => void)[] = [];
  #listener: WritesListener | null = null;

  get appliedIndex(): number {
    return 100 + this.revision;
  }

  get isHeard(): boolean {
    return this.#listener !== null;
  }

  onWrites(listener: WritesListener | null): void {
    this.#listener = listener;
  }

  /** One revision. */
  write(writes: Writes): number {
    this.revision += 1;
    const events = Object.entries(writes).map(([key, value], sub) => this.#event(key, value, sub));
    this.events.push(...events);
    this.#listener?.(events);
    return this.revision;
  }

  #event(key: string, value: string | null, sub: number): WriteEvent {
    const { revision } = this;
    const before = this.#last(key, revision);
    const alive = before !== null && before.version > 0;
    const counts =
      value === null
        ? { createRevision: 0, version: 0 }
        : {
            createRevision: alive ? before.createRevision : revision,
            version: alive ? before.version + 1 : 1,
          };
    return {
      type: value === null ? 'delete' : 'put',
      ...{ revision, sub, key: Buffer.from(key), value: Buffer.from(value ?? ''), lease: 0 },
      ...counts,
      previous: { revision: before?.revision ?? 0, sub: before?.sub ?? 0 },
    };
  }

  #last(key: string, beforeRevision: number): WriteEvent | null {
    const bytes = Buffer.from(key);
    const found = this.events.findLast(
      (event) => event.revision < beforeRevision && bytes.equals(event.key),
    );
    return found ?? null;
  }

  valueBefore(event: WriteEvent): KeyValue | null {
    const before = this.#last(Buffer.from(event.key).toString(), event.revision);
    if (before === null || before.type === 'delete') return null;
    const { key, value, createRevision, revision, version, lease } = before;
    return { key, value, createRevision, modRevision: revision, version, lease };
  }

  async history(query: HistoryQuery): Promise<HistoryPage> {
    const { fromRevision, throughRevision = this.revision } = query;
    this.pages.push(fromRevision);
    this.#checkKept(fromRevision);
    const page = this.#page(fromRevision, throughRevision, query.eventsMax);
    if (this.isHeld) await new Promise<void>((resolve) => this.#held.push(resolve));
    this.#checkKept(fromRevision);
    return page;
  }

  #page(fromRevision: number, throughRevision: number, asked: number): HistoryPage {
    const all = this.events.filter(
      ({ revision }) => revision >= fromRevision && revision <= throughRevision,
    );
    const max = Math.min(asked, this.pageEventsMax);
    const beyond = all[max - 1]?.revision;
    if (all.length <= max || beyond === undefined)
      return { events: all, nextRevision: throughRevision + 1 };
    const events = all.filter(({ revision }) => revision <= beyond);
    return { events, nextRevision: beyond + 1 };
  }

  #checkKept(revision: number): void {
    if (revision >= this.compactedRevision) return;
    throw new BalsaError('COMPACTED', `revision ${revision} is gone`);
  }

  /** Pages that were held up come. */
  release(): void {
    const held = this.#held;
    this.#held = [];
    for (const go of held) go();
  }

  /** The same state, as a snapshot of it would be. */
  copy(): FakeSource {
    const copy = new FakeSource();
    copy.events.push(...this.events);
    copy.revision = this.revision;
    copy.compactedRevision = this.compactedRevision;
    return copy;
  }
}
