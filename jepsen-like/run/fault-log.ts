import { HistoryWriter } from '../history/history-writer.js';
import type { RunClock } from './clock.js';

/** A fault that is on. */
export interface ActiveFault {
  readonly fault: string;
  readonly nodes: readonly string[];
  readonly beginNs: number;
}

export interface FaultInterval extends ActiveFault {
  /** `null`: it was never mended. */
  endNs: number | null;
  /** What does the harm is over, and what it has hit comes back. */
  isMending: boolean;
}

/** How long writes stood still from a moment on, in milliseconds; `null`: there was none any more. */
export interface Standstill {
  readonly fault: string;
  readonly sinceNs: number;
  readonly tookMs: number;
}

export interface FaultEnd {
  readonly mends: () => void;
  /** Does nothing the second time. */
  readonly end: () => void;
}

/** All faults of a run: in a file of JSON lines, and at hand for who wants to know what is on. */
export class FaultLog {
  readonly intervals: FaultInterval[] = [];
  /** From the begin of a fault, and from its end, to the first write begun after it that was served. */
  readonly outages: Standstill[] = [];
  readonly recoveries: Standstill[] = [];
  readonly #writer: HistoryWriter;
  readonly #clock: RunClock;
  #lastEndNs = Number.NEGATIVE_INFINITY;
  readonly #active = new Set<FaultInterval>();
  #waiting: { readonly fault: string; readonly sinceNs: number; readonly list: Standstill[] }[] =
    [];

  constructor(path: string, clock: RunClock) {
    this.#writer = new HistoryWriter(path);
    this.#clock = clock;
  }

  get active(): Iterable<FaultInterval> {
    return this.#active;
  }

  /** @returns what tells that it is being mended, and what ends it */
  begin(fault: string, nodes: readonly string[], detail?: unknown): FaultEnd {
    const beginNs = this.#clock.now();
    const interval: FaultInterval = { fault, nodes, beginNs, endNs: null, isMending: false };
    this.intervals.push(interval);
    this.#active.add(interval);
    this.#write({ time: beginNs, fault, nodes, phase: 'begin', detail });
    this.#waiting.push({ fault, sinceNs: beginNs, list: this.outages });
    const mends = (): void => {
      interval.isMending = true;
    };
    const end = (): void => {
      if (!this.#active.delete(interval)) return;
      interval.endNs = this.#clock.now();
      this.#write({ time: interval.endNs, fault, nodes, phase: 'end' });
      this.#lastEndNs = interval.endNs;
      this.#waiting.push({ fault, sinceNs: interval.endNs, list: this.recoveries });
    };
    return { mends, end };
  }

  /** What is no fault and is to be known of: in the file alone. @returns what ends it */
  mark(what: string, nodes: readonly string[]): () => void {
    const note = (phase: 'begin' | 'end'): void =>
      this.#write({ time: this.#clock.now(), fault: what, nodes, phase });
    note('begin');
    return () => note('end');
  }

  /** A write was served. */
  served(invokedNs: number, completedNs: number): void {
    if (this.#waiting.length === 0) return;
    const [over, rest] = partition(this.#waiting, ({ sinceNs }) => sinceNs <= invokedNs);
    this.#waiting = rest;
    for (const { fault, sinceNs, list } of over) {
      list.push({ fault, sinceNs, tookMs: (completedNs - sinceNs) / 1e6 });
    }
  }

  /**
   * The one kind of fault that has been on since `fromNs`, and nothing else since then; `none`: there was none. `null`: it is not as
   * simple as that.
   */
  only(fromNs: number): string | null {
    const [first, ...others] = this.#active;
    if (first === undefined) return this.#lastEndNs <= fromNs ? 'none' : null;
    const isSettled = first.beginNs <= fromNs && this.#lastEndNs <= fromNs && !first.isMending;
    return isSettled && others.length === 0 ? first.fault : null;
  }

  close(): void {
    this.#writer.close();
  }

  #write(record: {
    time: number;
    fault: string;
    nodes: readonly string[];
    phase: 'begin' | 'end';
    detail?: unknown;
  }): void {
    const { detail, ...rest } = record;
    this.#writer.write(detail === undefined ? rest : { ...rest, detail });
    this.#writer.flush();
  }
}

function partition<T>(list: readonly T[], holds: (item: T) => boolean): [T[], T[]] {
  const yes: T[] = [];
  const no: T[] = [];
  for (const item of list) (holds(item) ? yes : no).push(item);
  return [yes, no];
}
