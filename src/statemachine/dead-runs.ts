import { countWhile } from '../base/binary-search.js';
import { fromMapKey, toMapKey } from '../base/bytes.js';
import type { OpenRange } from './needs.js';

/** Fewer deleted keys in a row than this are looked at each time. */
const RUN_KEYS_MIN = 32;
/** Runs that are remembered. */
const RUNS_MAX = 256;
/** Keys written while a range is read, of which note is taken. */
const PUTS_MAX = 1000;

/** Of keys that sort one after the other none is there: `from <= key < to`, as names of maps. */
export interface Run {
  readonly from: string;
  readonly to: string;
  /** Since this revision, at the latest. */
  readonly revision: number;
  /** Records of deleted keys in it, roughly. */
  readonly keys: number;
}

/** What is worth while to be looked at next of a range. */
export interface Piece extends OpenRange {
  /** More of the range follows behind it. */
  readonly isCut: boolean;
  /** Begins behind this, which was passed over; `null`: nothing was. */
  readonly passed: Run | null;
}

/**
 * Where nothing but deleted keys lies. Their records stay until they are compacted, since they lead to what the keys held before:
 * the first key of a queue may follow thousands of them. Whoever has walked through them tells, and who comes later passes them
 * over. It is known by chance, and forgotten with the process: nothing but time may depend on it.
 */
export class DeadRuns {
  /** Sorted; no two of them touch. */
  readonly #runs: Run[] = [];
  readonly #walks = new Set<DeadWalk>();

  get size(): number {
    return this.#runs.length;
  }

  /** The key is there. Called for each that is written, before anybody can read it. */
  put(mapKey: string): void {
    for (const walk of this.#walks) walk.put(mapKey);
    const at = this.#firstBehind(mapKey) - 1;
    const run = this.#runs[at];
    if (run === undefined || mapKey >= run.to) return;
    const { from, to, revision } = run;
    const keys = run.keys >> 1;
    const parts = [
      { from, to: mapKey, revision, keys },
      { from: `${mapKey}\0`, to, revision, keys },
    ];
    this.#runs.splice(at, 1, ...parts.filter((part) => part.from < part.to && keys > 0));
    this.#drop();
  }

  /**
   * The next piece of a range in which there may be keys; `null`: there are none in all of it.
   * @param revision runs of keys that were deleted later are looked at
   */
  piece({ from, to }: OpenRange, reverse: boolean, revision: number): Piece | null {
    if (this.#runs.length === 0) return { from, to, isCut: false, passed: null };
    return reverse ? this.#lastPiece(from, to, revision) : this.#firstPiece(from, to, revision);
  }

  /** Somebody begins to walk through a range; to be ended in any case. */
  walk(bounds: OpenRange, reverse: boolean): DeadWalk {
    const walk = new DeadWalk(reverse ? bounds.to : bounds.from, {
      onRun: (run) => this.#add(run),
      onEnd: () => this.#walks.delete(walk),
    });
    this.#walks.add(walk);
    return walk;
  }

  #firstPiece(from: Uint8Array, to: Uint8Array | null, revision: number): Piece | null {
    const start = toMapKey(from);
    const end = to === null ? null : toMapKey(to);
    let at = this.#firstBehind(start);
    const before = this.#runs[at - 1];
    const passed =
      before !== undefined && start < before.to && before.revision <= revision ? before : null;
    if (passed !== null && end !== null && passed.to >= end) return null;
    while ((this.#runs[at]?.revision ?? 0) > revision) at += 1;
    const next = this.#runs[at];
    const isCut = next !== undefined && (end === null || next.from < end);
    return {
      from: passed === null ? from : fromMapKey(passed.to),
      to: isCut ? fromMapKey(next.from) : to,
      ...{ isCut, passed },
    };
  }

  #lastPiece(from: Uint8Array, to: Uint8Array | null, revision: number): Piece | null {
    const start = toMapKey(from);
    const end = to === null ? null : toMapKey(to);
    // The last one that begins before the end.
    let at = end === null ? this.#runs.length - 1 : this.#firstAtOrBehind(end) - 1;
    const over = this.#runs[at];
    const isOver = over !== undefined && end !== null && end <= over.to;
    const passed = isOver && over.revision <= revision ? over : null;
    if (passed !== null && passed.from <= start) return null;
    if (isOver) at -= 1;
    while ((this.#runs[at]?.revision ?? 0) > revision) at -= 1;
    const next = this.#runs[at];
    const isCut = next !== undefined && next.to > start;
    return {
      from: isCut ? fromMapKey(next.to) : from,
      to: passed === null ? to : fromMapKey(passed.from),
      ...{ isCut, passed },
    };
  }

  #add(run: Run): void {
    let at = this.#firstBehind(run.from);
    let { from, to, revision, keys } = run;
    // Those that overlap it, or touch it.
    while (at > 0 && (this.#runs[at - 1] as Run).to >= from) at -= 1;
    let end = at;
    for (let other = this.#runs[end]; other !== undefined && other.from <= to; ) {
      from = first(from, other.from);
      to = last(to, other.to);
      revision = Math.max(revision, other.revision);
      keys = Math.max(keys, other.keys);
      end += 1;
      other = this.#runs[end];
    }
    this.#runs.splice(at, end - at, { from, to, revision, keys });
    this.#drop();
  }

  /** Forgets what saves least when there are too many. */
  #drop(): void {
    if (this.#runs.length <= RUNS_MAX) return;
    const least = this.#runs.reduce(
      (best, { keys }, i) => (keys < (this.#runs[best] as Run).keys ? i : best),
      0,
    );
    this.#runs.splice(least, 1);
  }

  /** Place of the first run that begins behind the key. */
  #firstBehind(mapKey: string): number {
    return countWhile(this.#runs, ({ from }) => from <= mapKey);
  }

  #firstAtOrBehind(mapKey: string): number {
    return countWhile(this.#runs, ({ from }) => from < mapKey);
  }
}

/** What somebody sees who walks through a range, in its order or the reverse. */
export class DeadWalk {
  readonly #listener: { readonly onRun: (run: Run) => void; readonly onEnd: () => void };
  /** Deleted keys, one after the other, up to here; `null`: the last one was there. */
  #run: Run | null = null;
  readonly #puts: string[] = [];
  #isBlind = false;

  /** @param bound where it begins; `null`: at the last of all keys */
  constructor(
    bound: Uint8Array | null,
    listener: { readonly onRun: (run: Run) => void; readonly onEnd: () => void },
  ) {
    this.#listener = listener;
    if (bound === null) return;
    const from = toMapKey(bound);
    this.#run = { from, to: from, revision: 0, keys: 0 };
  }

  /** What was read may have been read before this was written. */
  put(mapKey: string): void {
    if (this.#puts.length < PUTS_MAX) this.#puts.push(mapKey);
    else this.#isBlind = true;
  }

  /** @param revision of its deletion */
  dead(key: Uint8Array, revision: number): void {
    const from = toMapKey(key);
    this.#join({ from, to: `${from}\0`, revision, keys: 1 });
  }

  /** Others have been there before, and nothing was written to it since. */
  passed(run: Run): void {
    this.#join(run);
  }

  alive(): void {
    const run = this.#run;
    this.#run = null;
    if (run === null || run.keys < RUN_KEYS_MIN || this.#isBlind) return;
    if (this.#puts.some((key) => key >= run.from && key < run.to)) return;
    this.#listener.onRun(run);
  }

  end(): void {
    this.alive();
    this.#listener.onEnd();
  }

  #join(next: Run): void {
    const run = this.#run;
    if (run === null) {
      this.#run = next;
      return;
    }
    this.#run = {
      from: first(run.from, next.from),
      to: last(run.to, next.to),
      revision: Math.max(run.revision, next.revision),
      keys: run.keys + next.keys,
    };
  }
}

function first(a: string, b: string): string {
  return a <= b ? a : b;
}

function last(a: string, b: string): string {
  return a >= b ? a : b;
}
