import { assert } from '../base/assert.js';
import { toMapKey } from '../base/bytes.js';
import { RANGE_COST } from '../base/call.js';
import { decodeKeyRecord } from './key-record.js';
import { isLive, type Keyspace, type LiveTarget, type Target } from './keyspace.js';
import type { FoundKeys, ReadAhead } from './read-ahead.js';
import { Refusal } from './refusal.js';

/** The ranges of the entry in hand: what the store had before it, and what it has written itself. */
export class RangeView {
  readonly #keyspace: Keyspace;
  readonly #ahead: ReadAhead | null;
  readonly #txnReadKeysMax: number;
  /** Keys that the ranges of this entry may still look at. */
  #left: number;

  constructor(
    keyspace: Keyspace,
    ahead: ReadAhead | null,
    bounds: { readonly txnReadKeysMax: number; readonly entryReadKeysMax: number },
  ) {
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
    const found = this.ahead.range(from, to);
    if (found.type === 'too-many') throw this.#tooLarge();
    if (found.type === 'not-read') throw entryTooLarge();
    const targets = this.merge(found, from, to);
    if (targets.length > this.#txnReadKeysMax) throw this.#tooLarge();
    this.charge(targets.length);
    return targets;
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
    found: FoundKeys & { readonly type: 'found' },
    from: Uint8Array,
    to: Uint8Array | null,
  ): readonly LiveTarget[] {
    const staged = this.#keyspace.staged;
    const changed = staged.between(toMapKey(from), to === null ? null : toMapKey(to));
    const targets: LiveTarget[] = [];
    let next = 0;
    const addChanged = (before: string | null): void => {
      for (let mapKey = changed[next]; mapKey !== undefined; mapKey = changed[next]) {
        if (before !== null && mapKey >= before) return;
        const one = staged.get(mapKey);
        if (one !== undefined) addLive(targets, { key: one.key, mapKey, record: one.record });
        next += 1;
      }
    };
    for (const [key, bytes] of found.pairs) {
      const mapKey = toMapKey(key);
      addChanged(mapKey);
      if (changed[next] === mapKey) continue;
      addLive(targets, { key, mapKey, record: decodeKeyRecord(bytes) });
    }
    addChanged(null);
    return targets;
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

function addLive(targets: LiveTarget[], target: Target): void {
  if (isLive(target)) targets.push(target);
}

export function entryTooLarge(): Refusal {
  return new Refusal(
    'OVERLOADED',
    'the writes of this moment ask for more ranges than are read at once (entryReadKeysMax); try again',
  );
}
