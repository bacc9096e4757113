import {
  type CallRecord,
  eventWrites,
  type KeyRead,
  pendingRevision,
  type RangeRead,
} from '../../src/base/call.js';
import { call } from './call-records.js';
import { isWithin, type NaiveRange, type NaiveRun, type NaiveView } from './naive-procedures.js';
import { text } from './operations.js';
import { bytes } from './replica.js';

export interface Item {
  readonly value: string;
  readonly revision: number;
}

export type State = ReadonlyMap<string, Item>;

/** What a call of the entry in hand has written; `null`: deleted. */
export interface Pending {
  readonly value: string | null;
  readonly place: number;
}

export class StateView implements NaiveView {
  readonly #state: State;

  constructor(state: State) {
    this.#state = state;
  }

  get(key: string): string | null {
    return this.#state.get(key)?.value ?? null;
  }

  keys(): readonly string[] {
    return [...this.#state.keys()].sort();
  }
}

/** What a call sees: some state, with what calls before it in its entry have written over it. */
export class Sight implements NaiveView {
  readonly #base: State;
  readonly #overlay: ReadonlyMap<string, Pending>;

  constructor(base: State, overlay: ReadonlyMap<string, Pending>) {
    this.#base = base;
    this.#overlay = overlay;
  }

  get(key: string): string | null {
    const pending = this.#overlay.get(key);
    return pending === undefined ? (this.#base.get(key)?.value ?? null) : pending.value;
  }

  /** Those that are there. */
  keys(): readonly string[] {
    const keys = new Set([...this.#base.keys(), ...this.#overlay.keys()]);
    return [...keys].filter((key) => this.get(key) !== null).sort();
  }

  /** 0: nothing was there. */
  revisionOf(key: string, ofPlace: (place: number) => number = pendingRevision): number {
    const pending = this.#overlay.get(key);
    if (pending === undefined) return this.#base.get(key)?.revision ?? 0;
    return pending.value === null ? 0 : ofPlace(pending.place);
  }

  /** Calls of which `run` has seen what they wrote or deleted. */
  dependsOn({ reads, ranges }: NaiveRun): number[] {
    const seen = [...this.#overlay].filter(
      ([key]) => reads.includes(key) || ranges.some((range) => isWithin(key, range)),
    );
    return [...new Set(seen.map(([, { place }]) => place))].sort((a, b) => a - b);
  }

  hasPendingRange({ ranges }: NaiveRun): boolean {
    return ranges.some((range) => this.#pendingIn(range).length > 0);
  }

  /** Keys that calls before it wrote, and that are there. */
  #pendingIn(range: NaiveRange): string[] {
    return this.keys().filter((key) => isWithin(key, range) && this.#overlay.has(key));
  }

  /** @param seesAll what was written before it is all in sight, so that nothing can hide behind a pending write */
  record(name: string, run: NaiveRun, seesAll: boolean): CallRecord {
    const reads: KeyRead[] = run.reads.map((key) => this.#read(key));
    const ranges: RangeRead[] = [];
    for (const range of run.ranges) {
      let { from } = range;
      for (const key of seesAll ? [] : this.#pendingIn(range)) {
        ranges.push(this.#range({ from, to: key }));
        reads.push(this.#read(key));
        from = `${key}\0`;
      }
      ranges.push(this.#range({ from, to: range.to }));
    }
    return {
      ...call(name, { dependsOn: this.dependsOn(run), end: run.end }),
      reads,
      ranges,
      writes: [...run.writes].map(([key, value]) => ({
        key: bytes(key),
        value: value === null ? null : bytes(value),
      })),
      updates: run.updates,
      events: run.events,
    };
  }

  #read(key: string): KeyRead {
    return { key: bytes(key), modRevision: this.revisionOf(key) };
  }

  #range({ from, to }: NaiveRange): RangeRead {
    const keys = this.keys().filter((key) => isWithin(key, { from, to }));
    const modRevisionMax = Math.max(0, ...keys.map((key) => this.revisionOf(key)));
    return {
      from: bytes(from),
      to: to === null ? null : bytes(to),
      keys: keys.length,
      modRevisionMax,
    };
  }
}

/** What others see of what it would write: not its updates. */
export function writesOf({ writes, events }: NaiveRun): [string, string | null][] {
  const emitted = eventWrites(events).map(({ key, value }): [string, string] => [
    text(key),
    text(value),
  ]);
  return [...writes, ...emitted];
}
