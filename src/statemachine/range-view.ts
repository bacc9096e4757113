import { assert } from '../base/assert.js';
import { countWhile } from '../base/binary-search.js';
import { compareBytes, successor, toMapKey } from '../base/bytes.js';
import { RANGE_COST } from '../base/call.js';
import { RANGES_BOUNDED_BEFORE } from '../base/command-versions.js';
import { decodeKeyRecord } from './key-record.js';
import { isLive, type Keyspace, type LiveTarget, type Target } from './keyspace.js';
import type { NeededRange } from './needs.js';
import type { FoundKeys, Pair, ReadAhead } from './read-ahead.js';
import { Refusal } from './refusal.js';

/** Which keys of a range are wanted. */
export interface FirstKeysQuery {
  readonly limit: number;
  /** `null`: all do. */
  readonly passes: ((target: LiveTarget) => boolean) | null;
}

export interface FirstKeys {
  readonly targets: readonly LiveTarget[];
  /** How many pass in the whole range; `null`: not known, since it was not looked at as a whole. */
  readonly count: number | null;
}

/** The ranges of the entry in hand: what the store had before it, and what it has written itself. */
export class RangeView {
  readonly #keyspace: Keyspace;
  readonly #ahead: ReadAhead | null;
  readonly #txnReadKeysMax: number;
  /** Of the entry. */
  readonly #version: number;
  /** Keys that the ranges of this entry may still look at. */
  #left: number;

  constructor(
    keyspace: Keyspace,
    ahead: ReadAhead | null,
    bounds: { readonly txnReadKeysMax: number; readonly entryReadKeysMax: number },
    version: number,
  ) {
    this.#version = version;
    this.#keyspace = keyspace;
    this.#ahead = ahead;
    this.#txnReadKeysMax = bounds.txnReadKeysMax;
    this.#left = bounds.entryReadKeysMax;
  }

  get ahead(): ReadAhead {
    assert(this.#ahead !== null, 'an entry with ranges is prepared before it is applied');
    return this.#ahead;
  }

  /**
   * The keys that are there in `[from, to)`, in order.
   * @throws Refusal `RANGE_TOO_LARGE`, `OVERLOADED`
   */
  liveKeys(from: Uint8Array, to: Uint8Array | null): readonly LiveTarget[] {
    if (this.#version >= RANGES_BOUNDED_BEFORE) this.#checkLeft();
    const found = this.ahead.range({ from, to, reverse: false });
    if (found.type === 'too-many') throw this.#tooLarge();
    if (found.type === 'not-read') throw entryTooLarge();
    const targets = this.merge(found, from, to);
    if (targets.length > this.#txnReadKeysMax) throw this.#tooLarge();
    this.charge(targets.length);
    return targets;
  }

  /**
   * The first keys of a range that pass, however many there are behind them.
   * @throws Refusal `RANGE_TOO_LARGE`: too many are to be looked at until so many pass; `OVERLOADED`
   */
  firstKeys(range: NeededRange, { limit, passes }: FirstKeysQuery): FirstKeys {
    this.#checkLeft();
    const found = this.ahead.range(range);
    if (found.type === 'not-read') throw entryTooLarge();
    const isWhole = found.type === 'found';
    const targets: LiveTarget[] = [];
    let seen = 0;
    let matching = 0;
    for (const target of this.#walk(found.pairs, isWhole ? range : lookedAt(range, found.pairs))) {
      seen += 1;
      if (!isLive(target) || (passes !== null && !passes(target))) continue;
      matching += 1;
      if (targets.length < limit) targets.push(target);
      // The others are only counted: by looking at each when it may not pass.
      if (targets.length === limit && (passes === null || !isWhole)) break;
    }
    const isCounted = isWhole && passes === null;
    const written = isCounted ? [...this.#within(range)] : [];
    this.charge(seen + written.length);
    if (isCounted) return { targets, count: this.#count(found.pairs, written) };
    if (!isWhole && targets.length < limit) throw this.#tooLarge();
    return { targets, count: isWhole ? matching : null };
  }

  /** The keys that begin with the prefix of a new namespace, as the store had them. */
  prefix(prefix: Uint8Array): FoundKeys {
    return this.ahead.prefix(prefix);
  }

  /** Counts keys that an operation looks at. */
  charge(keys: number): void {
    this.#left -= RANGE_COST + keys;
    if (this.#left < 0) throw entryTooLarge();
  }

  /** What the store had, with what was written since. */
  merge(
    { pairs }: FoundKeys & { readonly type: 'found' },
    from: Uint8Array,
    to: Uint8Array | null,
  ): readonly LiveTarget[] {
    const targets: LiveTarget[] = [];
    for (const target of this.#walk(pairs, { from, to, reverse: false })) {
      if (isLive(target)) targets.push(target);
    }
    return targets;
  }

  /** What there was, with what was written since, also if it is gone by that: in order, or from the end. */
  *#walk(pairs: readonly Pair[], range: NeededRange): Generator<Target, void> {
    const { staged } = this.#keyspace;
    const { reverse } = range;
    const changed = this.#within(range);
    let next = changed.next();
    for (let n = 0; n < pairs.length; n += 1) {
      const [key, bytes] = pairs[reverse ? pairs.length - 1 - n : n] as Pair;
      const mapKey = toMapKey(key);
      while (next.done !== true && (reverse ? next.value > mapKey : next.value < mapKey)) {
        yield staged.target(next.value);
        next = changed.next();
      }
      // What was written of it follows.
      if (next.done !== true && next.value === mapKey) continue;
      yield { key, mapKey, record: decodeKeyRecord(bytes) };
    }
    for (; next.done !== true; next = changed.next()) yield staged.target(next.value);
  }

  /** What the entry has written in the range. */
  #within({ from, to, reverse }: NeededRange): Generator<string, void> {
    const end = to === null ? null : toMapKey(to);
    return this.#keyspace.staged.within(toMapKey(from), end, reverse);
  }

  /** How many there are of a range that was read as a whole. */
  #count(pairs: readonly Pair[], written: readonly string[]): number {
    let count = pairs.length;
    for (const mapKey of written) {
      const target = this.#keyspace.staged.target(mapKey);
      count += (isLive(target) ? 1 : 0) - (has(pairs, target.key) ? 1 : 0);
    }
    return count;
  }

  /** Who has asked for too much is refused before more is looked at. */
  #checkLeft(): void {
    if (this.#left < 0) throw entryTooLarge();
  }

  #tooLarge(): Refusal {
    const limit = this.#txnReadKeysMax;
    return new Refusal(
      'RANGE_TOO_LARGE',
      `a range has more than ${limit} keys (txnReadKeysMax), too many to be looked at in one operation: divide it`,
      { limit },
    );
  }
}

/** The part of a range that was looked at, as more was not. */
function lookedAt({ from, to, reverse }: NeededRange, pairs: readonly Pair[]): NeededRange {
  const [last] = (reverse ? pairs[0] : pairs.at(-1)) as Pair;
  return reverse ? { from: last, to, reverse } : { from, to: successor(last), reverse };
}

/** @param pairs in order */
function has(pairs: readonly Pair[], key: Uint8Array): boolean {
  const at = pairs[countWhile(pairs, (pair) => compareBytes(pair[0], key) < 0)];
  return at !== undefined && compareBytes(at[0], key) === 0;
}

export function entryTooLarge(): Refusal {
  return new Refusal(
    'OVERLOADED',
    'the writes of this moment ask for more ranges than are read at once (entryReadKeysMax); try again',
  );
}
