import type { RunClock } from './clock.js';
import type { FaultLog } from './fault-log.js';

/** What came of one operation. */
export interface Observed {
  /** e.g. `put`, `get linearizable`, `call ap`. */
  readonly class: string;
  readonly type: 'ok' | 'fail' | 'info';
  readonly error: string | null;
  readonly side: 'majority' | 'minority' | null;
  readonly invokedNs: number;
  readonly completedNs: number;
  /** A write that needs a majority: that it is served says that the cluster is up. */
  readonly isWrite: boolean;
}

export interface Availability {
  ok: number;
  /** By code; `info` ones, too. */
  readonly errors: Record<string, number>;
}

/** Of one second. */
export interface Second {
  ok: number;
  fail: number;
  info: number;
  /** Of those that were served, in milliseconds; a sample. */
  readonly latenciesMs: number[];
}

const SAMPLES_MAX = 200;

/** Adds up what operations came to: by second, and by the faults that were on. */
export class Observer {
  readonly seconds: Second[] = [];
  /** By fault (and side), then by class of operation. */
  readonly matrix = new Map<string, Map<string, Availability>>();
  readonly counts = { ok: 0, fail: 0, info: 0 };
  readonly #clock: RunClock;
  readonly #faults: FaultLog;

  constructor(clock: RunClock, faults: FaultLog) {
    this.#clock = clock;
    this.#faults = faults;
  }

  /** To be asked at the invocation: which row of the matrix it will count in, if it ends in the same one. */
  situation(side: 'majority' | 'minority' | null): string | null {
    const only = this.#faults.only(this.#clock.now() - SETTLED_NS);
    return only === null || only === 'none' || side === null ? only : `${only}: ${side} side`;
  }

  observe(situation: string | null, observed: Observed): void {
    this.counts[observed.type] += 1;
    this.#countSecond(observed);
    if (observed.isWrite && observed.type === 'ok') {
      this.#faults.served(observed.invokedNs, observed.completedNs);
    }
    // One that ended when it was another tells of the change: what waits in a minority is served when the network is whole again.
    if (situation === null || this.situation(observed.side) !== situation) return;
    const classes = getOrMake(this.matrix, situation, () => new Map<string, Availability>());
    const cell = getOrMake(classes, observed.class, (): Availability => ({ ok: 0, errors: {} }));
    if (observed.type === 'ok') cell.ok += 1;
    else {
      const code = observed.error ?? 'unknown';
      cell.errors[code] = (cell.errors[code] ?? 0) + 1;
    }
  }

  #countSecond({ type, invokedNs, completedNs }: Observed): void {
    const index = Math.floor(completedNs / 1e9);
    while (this.seconds.length <= index) {
      this.seconds.push({ ok: 0, fail: 0, info: 0, latenciesMs: [] });
    }
    const second = this.seconds[index];
    if (second === undefined) return;
    second[type] += 1;
    if (type !== 'ok') return;
    const tookMs = (completedNs - invokedNs) / 1e6;
    if (second.latenciesMs.length < SAMPLES_MAX) second.latenciesMs.push(tookMs);
    else second.latenciesMs[second.ok % SAMPLES_MAX] = tookMs;
  }
}

/** Operations begun sooner after a fault tell of the change and not of the state that it leads to. */
const SETTLED_NS = 5e9;

export function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const there = map.get(key);
  if (there !== undefined) return there;
  const made = make();
  map.set(key, made);
  return made;
}
