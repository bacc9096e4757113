import type { Clock } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import type { Position } from '../statemachine/position.js';
import type { HistoryPage, WriteEvent } from '../statemachine/types.js';
import { WatchPage } from './watch-page.js';
import { isFrom, type WatchSource } from './watch-source.js';
import type { Watcher } from './watcher.js';

/** What is read from history at once. One revision may exceed it. */
const PAGE_EVENTS = 1024;
const PAGE_BYTES = 256 * 1024;

/** Events applied while a page is read and told, of which note is taken, and their bytes. */
const MEANWHILE_MAX = 10_000;
const MEANWHILE_BYTES_MAX = 16 * 1024 * 1024;

/** A watcher is counted as so many bytes beside what it is told, and each event of its range that is looked at as so many. */
const WATCHER_BYTES = 1024;
const LOOK_BYTES = 16;

/** So many turns a page is told, then one who waits longer than the rest of its group and needs another page comes first. */
const PAGE_TURNS = 16;

interface CatchUpOptions {
  readonly clock: Clock;
  /** One turn of the event loop tells about so much, and the others wait for the next: all else goes on in between. */
  readonly turnBytes: number;
  readonly source: () => WatchSource;
  /**
   * `events` are all that the watcher wants from where it stands through `through`.
   * @returns the bytes of what it was told
   */
  readonly onRead: (watcher: Watcher, events: readonly WriteEvent[], through: number) => number;
  /** It has been told everything. */
  readonly onCaughtUp: (watcher: Watcher) => void;
  /** What it needs is no longer kept. */
  readonly onCompacted: (watcher: Watcher) => void;
  readonly onFailure: (error: unknown) => void;
}

/** A page that is being told. */
interface Telling {
  /** With what was applied since it was asked for, if that is all that there is. */
  readonly page: WatchPage;
  /** It has everything through this revision. */
  through: number;
  /** Who is still to be told, those first who wait longest. */
  readonly group: Set<Watcher>;
  turns: number;
}

/**
 * Reads history for those that lack some of it, one page at a time. A page is for all whose place is in it:
 * after a break many thousands begin at about the same revision. It is told to some of them in each turn of the
 * event loop. They take turns to say where the next page begins, so that one that begins far back holds up nobody.
 */
export class WatchCatchUp {
  readonly #options: CatchUpOptions;
  /** In the order of their turns. */
  readonly #waiting = new Set<Watcher>();
  /** What was applied since the page under way was asked for, and is not in it; `null`: too much, or it is of no use. */
  #meanwhile: WriteEvent[] | null = [];
  #meanwhileCount = 0;
  #meanwhileBytes = 0;
  /** A page is read, or told. */
  #isUnderWay = false;
  #telling: Telling | null = null;
  #isPaused = false;
  /** Grows with each {@link pause}: what was asked for before is dropped. */
  #generation = 0;

  constructor(options: CatchUpOptions) {
    this.#options = options;
  }

  add(watcher: Watcher): void {
    this.#waiting.add(watcher);
    this.#read();
  }

  remove(watcher: Watcher): void {
    this.#waiting.delete(watcher);
    this.#telling?.group.delete(watcher);
  }

  /** These events have just been applied. */
  hear(events: readonly WriteEvent[]): void {
    if (!this.#isUnderWay || this.#meanwhile === null) return;
    this.#meanwhileCount += events.length;
    for (const { key, value } of events) {
      this.#meanwhileBytes += key.byteLength + value.byteLength;
    }
    const isTooMuch =
      this.#meanwhileCount > MEANWHILE_MAX || this.#meanwhileBytes > MEANWHILE_BYTES_MAX;
    if (isTooMuch) this.#meanwhile = null;
    else for (const event of events) this.#meanwhile.push(event);
  }

  pause(): void {
    this.#isPaused = true;
    this.drop();
  }

  /** The page under way is of no use: writes since it was asked for are not heard. */
  drop(): void {
    this.#isUnderWay = false;
    this.#telling = null;
    this.#generation += 1;
  }

  resume(): void {
    this.#isPaused = false;
    this.#read();
  }

  #read(): void {
    if (this.#isUnderWay || this.#isPaused) return;
    this.#endCompacted();
    const [first] = this.#waiting;
    if (first === undefined) return;
    const source = this.#options.source();
    const throughRevision = source.revision;
    const from = first.next;
    this.#isUnderWay = true;
    this.#meanwhile = [];
    this.#meanwhileCount = 0;
    this.#meanwhileBytes = 0;
    const settle = this.#guard();
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

  /** For what is done later, unless it is dropped meanwhile. */
  #guard(): (work: () => void) => void {
    const generation = this.#generation;
    return (work) => {
      if (generation !== this.#generation) return;
      try {
        work();
      } catch (error) {
        this.#options.onFailure(error);
      }
    };
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
    this.#next();
  }

  #next(): void {
    this.#isUnderWay = false;
    this.#telling = null;
    this.#read();
  }

  #take(from: Position, { events, nextRevision }: HistoryPage, throughRevision: number): void {
    const group = [...this.#waiting].filter(
      ({ next }) => isBehind(next, from) && next.revision < nextRevision,
    );
    // More has to be read, and what was applied with it.
    if (nextRevision <= throughRevision) this.#meanwhile = null;
    const page = new WatchPage();
    page.add(events);
    this.#telling = { page, through: nextRevision - 1, group: new Set(group), turns: 0 };
    this.#goOn(this.#telling);
  }

  #goOn(telling: Telling): void {
    this.#tellSome(telling);
    // Telling one may have ended the last of them, and a new one may have come.
    if (this.#telling !== telling) return;
    telling.turns += 1;
    const [first] = this.#waiting;
    const isFirstIn = first !== undefined && telling.group.has(first);
    if (telling.group.size === 0 || (telling.turns >= PAGE_TURNS && !isFirstIn)) {
      this.#next();
      return;
    }
    const settle = this.#guard();
    this.#options.clock.defer(() => settle(() => this.#goOn(telling)));
  }

  #tellSome(telling: Telling): void {
    const { page, group } = telling;
    const isAll = this.#meanwhile !== null;
    if (this.#meanwhile !== null) {
      page.add(this.#meanwhile);
      telling.through = this.#options.source().revision;
      this.#meanwhile = [];
    }
    const { compactedRevision } = this.#options.source();
    let bytes = 0;
    for (const watcher of group) {
      // Telling another one may have led to an end of all.
      if (bytes >= this.#options.turnBytes || this.#telling !== telling) return;
      group.delete(watcher);
      // What was in the store when the page was read may be swept by now.
      if (watcher.next.revision < compactedRevision) this.#options.onCompacted(watcher);
      else bytes += this.#tell(watcher, telling, isAll);
    }
  }

  /** @returns what that cost, in bytes told */
  #tell(watcher: Watcher, { page, through }: Telling, isAll: boolean): number {
    const inRange = page.of(watcher);
    const events = inRange.filter((event) => isFrom(event, watcher.next) && watcher.wants(event));
    const bytes = this.#options.onRead(watcher, events, through);
    if (this.#waiting.has(watcher)) {
      if (isAll) this.#options.onCaughtUp(watcher);
      else {
        this.#waiting.delete(watcher);
        this.#waiting.add(watcher);
      }
    }
    return WATCHER_BYTES + LOOK_BYTES * inRange.length + bytes;
  }
}

function isBehind(next: Position, from: Position): boolean {
  return next.revision > from.revision || (next.revision === from.revision && next.sub >= from.sub);
}
