import type { Clock, Timer } from '../base/clock.js';
import type { Watcher, WatchSink } from './watcher.js';

/** How often a stream that is full is looked at. */
const LOOK_MS = 20;

/** Watchers whose stream takes no more just now, by stream. */
export class BlockedWatchers {
  readonly #clock: Clock;
  readonly #bytesMax: number;
  readonly #onDrained: (watcher: Watcher) => void;
  readonly #bySink = new Map<WatchSink, Set<Watcher>>();
  #timer: Timer | null = null;

  /** A stream on which `bytesMax` or less wait has drained. */
  constructor(options: {
    readonly clock: Clock;
    readonly bytesMax: number;
    readonly onDrained: (watcher: Watcher) => void;
  }) {
    this.#clock = options.clock;
    this.#bytesMax = options.bytesMax;
    this.#onDrained = options.onDrained;
  }

  add(watcher: Watcher): void {
    const others = this.#bySink.get(watcher.sink);
    if (others === undefined) this.#bySink.set(watcher.sink, new Set([watcher]));
    else others.add(watcher);
    this.#timer ??= this.#clock.setTimer(LOOK_MS, () => this.#look());
  }

  remove(watcher: Watcher): void {
    const all = this.#bySink.get(watcher.sink);
    all?.delete(watcher);
    if (all?.size === 0) this.#bySink.delete(watcher.sink);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #look(): void {
    this.#timer = null;
    for (const [sink, watchers] of [...this.#bySink]) {
      if (sink.waitingBytes > this.#bytesMax) continue;
      for (const watcher of [...watchers]) this.#onDrained(watcher);
    }
    if (this.#bySink.size === 0) return;
    this.#timer ??= this.#clock.setTimer(LOOK_MS, () => this.#look());
  }
}
