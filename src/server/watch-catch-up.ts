import { toMapKey } from '../base/bytes.js';
import { BalsaError } from '../base/errors.js';
import type { Position } from '../statemachine/position.js';
import type { HistoryPage, WriteEvent } from '../statemachine/types.js';
import { WatchIndex } from './watch-index.js';
import { isFrom, type WatchSource } from './watch-source.js';
import type { Watcher } from './watcher.js';

/** What is read from history at once. One revision may exceed it. */
const PAGE_EVENTS = 1024;
const PAGE_BYTES = 256 * 1024;

/** Events applied while a page is read, of which note is taken, and their bytes. */
const MEANWHILE_MAX = 10_000;
const MEANWHILE_BYTES_MAX = 16 * 1024 * 1024;

interface CatchUpOptions {
  readonly source: () => WatchSource;
  /** `events` are all that the watcher wants from where it stands through `through`. */
  readonly onRead: (watcher: Watcher, events: readonly WriteEvent[], through: number) => void;
  /** It has been told everything. */
  readonly onCaughtUp: (watcher: Watcher) => void;
  /** What it needs is no longer kept. */
  readonly onCompacted: (watcher: Watcher) => void;
  readonly onFailure: (error: unknown) => void;
}

/**
 * Reads history for those that lack some of it, one page at a time. A page is for all whose place is in it:
 * after a break many thousands begin at about the same revision. They take turns to say where the next page
 * begins, so that one that begins far back holds up nobody.
 */
export class WatchCatchUp {
  readonly #options: CatchUpOptions;
  /** In the order of their turns. */
  readonly #waiting = new Set<Watcher>();
  readonly #index = new WatchIndex<Watcher>();
  /** What was applied since the page under way was asked for; `null`: too much. */
  #meanwhile: WriteEvent[] | null = [];
  #meanwhileBytes = 0;
  #isReading = false;
  #isPaused = false;
  /** Grows with each {@link pause}: what was asked for before is dropped. */
  #generation = 0;

  constructor(options: CatchUpOptions) {
    this.#options = options;
  }

  add(watcher: Watcher): void {
    this.#waiting.add(watcher);
    this.#index.add(watcher);
    this.#read();
  }

  remove(watcher: Watcher): void {
    if (this.#waiting.delete(watcher)) this.#index.remove(watcher);
  }

  /** These events have just been applied. */
  hear(events: readonly WriteEvent[]): void {
    if (!this.#isReading || this.#meanwhile === null) return;
    for (const { key, value } of events) {
      this.#meanwhileBytes += key.byteLength + value.byteLength;
    }
    const isTooMuch =
      this.#meanwhile.length + events.length > MEANWHILE_MAX ||
      this.#meanwhileBytes > MEANWHILE_BYTES_MAX;
    if (isTooMuch) this.#meanwhile = null;
    else for (const event of events) this.#meanwhile.push(event);
  }

  pause(): void {
    this.#isPaused = true;
    this.drop();
  }

  /** What is being read is of no use: writes since it was asked for are not heard. */
  drop(): void {
    this.#isReading = false;
    this.#generation += 1;
  }

  resume(): void {
    this.#isPaused = false;
    this.#read();
  }

  #read(): void {
    if (this.#isReading || this.#isPaused) return;
    this.#endCompacted();
    const [first] = this.#waiting;
    if (first === undefined) return;
    const source = this.#options.source();
    const throughRevision = source.revision;
    const from = first.next;
    const generation = this.#generation;
    this.#isReading = true;
    this.#meanwhile = [];
    this.#meanwhileBytes = 0;
    const settle = (then: () => void): void => {
      if (generation !== this.#generation) return;
      this.#isReading = false;
      try {
        then();
        this.#read();
      } catch (error) {
        this.#options.onFailure(error);
      }
    };
    source
      .history({
        fromRevision: from.revision,
        throughRevision,
        eventsMax: PAGE_EVENTS,
        bytesMax: PAGE_BYTES,
      })
      .then(
        (page) => settle(() => this.#take(from, page, throughRevision)),
        (error: unknown) => settle(() => this.#failed(error)),
      );
  }

  #endCompacted(): void {
    const { compactedRevision } = this.#options.source();
    for (const watcher of [...this.#waiting]) {
      if (watcher.next.revision < compactedRevision) this.#options.onCompacted(watcher);
    }
  }

  /** Compacted meanwhile: those that it concerns are ended before the next page is read. */
  #failed(error: unknown): void {
    if (!(error instanceof BalsaError) || error.code !== 'COMPACTED') throw error;
  }

  #take(from: Position, page: HistoryPage, throughRevision: number): void {
    const { nextRevision } = page;
    const group = [...this.#waiting].filter(
      ({ next }) => isBehind(next, from) && next.revision < nextRevision,
    );
    const found = new Map<Watcher, WriteEvent[]>(group.map((watcher) => [watcher, []]));
    this.#sort(page.events, found);
    const isAll = nextRevision > throughRevision && this.#meanwhile !== null;
    if (isAll && this.#meanwhile !== null) this.#sort(this.#meanwhile, found);
    const through = isAll ? this.#options.source().revision : nextRevision - 1;
    for (const [watcher, events] of found) {
      // Telling another one may have ended it.
      if (!this.#waiting.has(watcher)) continue;
      this.#options.onRead(watcher, events, through);
      if (!this.#waiting.has(watcher)) continue;
      if (isAll) {
        this.#options.onCaughtUp(watcher);
      } else {
        this.#waiting.delete(watcher);
        this.#waiting.add(watcher);
      }
    }
  }

  #sort(events: readonly WriteEvent[], found: ReadonlyMap<Watcher, WriteEvent[]>): void {
    for (const event of events) {
      this.#index.visit(toMapKey(event.key), (watcher) => {
        if (isFrom(event, watcher.next) && watcher.wants(event)) found.get(watcher)?.push(event);
      });
    }
  }
}

function isBehind(next: Position, from: Position): boolean {
  return next.revision > from.revision || (next.revision === from.revision && next.sub >= from.sub);
}
