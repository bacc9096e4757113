import type { Clock, Timer } from '../base/clock.js';
import type { LogIndex } from '../raft/types.js';
import type { Watcher, WatchSink } from './watcher.js';

/** Those that are due within this share of the interval are told together. */
const TOGETHER = 0.1;

/**
 * Tells a watcher that has heard nothing for a while how far it is. One timer for all: they stand in the order
 * in which something was said to them last.
 */
export class WatchProgress {
  readonly #clock: Clock;
  readonly #silenceMs: number;
  readonly #revisionOf: (watcher: Watcher) => number | null;
  readonly #appliedIndex: () => LogIndex;
  readonly #order = new Set<Watcher>();
  #timer: Timer | null = null;

  /** `revisionOf`: through which revision it has been told everything; `null`: it is not to be told. */
  constructor(options: {
    readonly clock: Clock;
    readonly silenceMs: number;
    readonly revisionOf: (watcher: Watcher) => number | null;
    readonly appliedIndex: () => LogIndex;
  }) {
    this.#clock = options.clock;
    this.#silenceMs = options.silenceMs;
    this.#revisionOf = options.revisionOf;
    this.#appliedIndex = options.appliedIndex;
  }

  /** Something was said to it. */
  told(watcher: Watcher, nowMs: number): void {
    this.#putLast(watcher, nowMs);
    this.#timer ??= this.#clock.setTimer(this.#silenceMs, () => this.#tell());
  }

  forget(watcher: Watcher): void {
    this.#order.delete(watcher);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #tell(): void {
    const nowMs = this.#clock.monotonicMs();
    const news = new ProgressNews();
    for (const watcher of this.#order) {
      if (watcher.toldMs + this.#silenceMs * (1 - TOGETHER) > nowMs) break;
      const revision = this.#revisionOf(watcher);
      if (revision !== null) news.add(watcher, revision);
      this.#putLast(watcher, nowMs);
    }
    news.send(this.#appliedIndex());
    const [first] = this.#order;
    this.#timer = null;
    if (first === undefined) return;
    const delayMs = Math.max(1, first.toldMs + this.#silenceMs - nowMs);
    this.#timer = this.#clock.setTimer(delayMs, () => this.#tell());
  }

  #putLast(watcher: Watcher, nowMs: number): void {
    watcher.toldMs = nowMs;
    this.#order.delete(watcher);
    this.#order.add(watcher);
  }
}

/** What is to be said now: the same to many watches of a stream goes out as one answer. */
class ProgressNews {
  readonly #ids = new Map<WatchSink, Map<number, number[]>>();

  add({ sink, id }: Watcher, revision: number): void {
    const ofSink = this.#ids.get(sink) ?? new Map<number, number[]>();
    this.#ids.set(sink, ofSink);
    const ids = ofSink.get(revision);
    if (ids === undefined) ofSink.set(revision, [id]);
    else ids.push(id);
  }

  send(appliedIndex: LogIndex): void {
    for (const [sink, ofSink] of this.#ids) {
      for (const [revision, [id, ...alsoFor]] of ofSink) {
        if (id === undefined) continue;
        sink.send({ type: 'watch-progress', id, revision, alsoFor, appliedIndex });
      }
    }
  }
}
