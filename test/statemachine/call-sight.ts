import {
  type CallRecord,
  eventWrites,
  type KeyRead,
  pendingPlace,
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
  readonly #updated: readonly string[];

  /** @param updated keys that those calls have changed, nobody knows to what */
  constructor(base: State, overlay: ReadonlyMap<string, Pending>, updated: readonly string[]) {
    this.#base = base;
    this.#overlay = overlay;
    this.#updated = updated;
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

  /** It has asked for what nobody knows yet. */
  isBlocked(run: NaiveRun): boolean {
    return this.#updated.some((key) => hasRead(run, key));
  }

  /** Calls of which `run` has seen what they wrote or deleted. */
  dependsOn(run: NaiveRun): number[] {
    const seen = [...this.#overlay].filter(([key]) => hasRead(run, key));
    return [...new Set(seen.map(([, { place }]) => place))].sort((a, b) => a - b);
  }

  hasPendingRange({ ranges }: NaiveRun): boolean {
    const pending = this.keys().filter((key) => this.#overlay.has(key));
    return pending.some((key) => ranges.some((range) => isWithin(key, range)));
  }

  record(name: string, run: NaiveRun): CallRecord {
    return {
      ...call(name, { dependsOn: this.dependsOn(run), end: run.end }),
      reads: run.reads.map((key) => this.#read(key)),
      ranges: run.ranges.map((range) => this.#range(range)),
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
    const revisions = keys.map((key) => this.revisionOf(key));
    const modRevisionMax = Math.max(0, ...revisions.filter((one) => pendingPlace(one) === null));
    return {
      from: bytes(from),
      to: to === null ? null : bytes(to),
      keys: keys.length,
      modRevisionMax,
    };
  }
}

function hasRead({ reads, ranges }: NaiveRun, key: string): boolean {
  return reads.includes(key) || ranges.some((range) => isWithin(key, range));
}

/** What others see of what it would write: not its updates. */
export function writesOf({ writes, events }: NaiveRun): [string, string | null][] {
  const emitted = eventWrites(events).map(({ key, value }): [string, string] => [
    text(key),
    text(value),
  ]);
  return [...writes, ...emitted];
}
