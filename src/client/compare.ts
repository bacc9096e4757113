import type { CompareOperator } from '../base/operation.js';
import type { Condition, Place } from './op-types.js';
import type { Key } from './results.js';
import type { KeyRange } from './write-options.js';

type NumberTarget = 'version' | 'createRevision' | 'modRevision' | 'lease' | 'count';

/** A number of a key (or of each key of a range), to be compared with another. */
export class NumberComparison {
  readonly #place: Place;
  readonly #target: NumberTarget;

  /** @internal */
  constructor(place: Place, target: NumberTarget) {
    this.#place = place;
    this.#target = target;
  }

  equals(value: number): Condition<never> {
    return this.#is('=', value);
  }

  notEquals(value: number): Condition<never> {
    return this.#is('!=', value);
  }

  lessThan(value: number): Condition<never> {
    return this.#is('<', value);
  }

  greaterThan(value: number): Condition<never> {
    return this.#is('>', value);
  }

  #is(operator: CompareOperator, value: number): Condition<never> {
    return { place: this.#place, operator, target: this.#target, value };
  }
}

/**
 * The value of a key (or of each key of a range), to be compared with another: byte by byte, as the codec
 * encodes it. A key that does not exist meets none of them, as in etcd: not `notEquals`, either.
 */
export class ValueComparison {
  readonly #place: Place;

  /** @internal */
  constructor(place: Place) {
    this.#place = place;
  }

  equals<In>(value: In): Condition<In> {
    return this.#is('=', value);
  }

  notEquals<In>(value: In): Condition<In> {
    return this.#is('!=', value);
  }

  lessThan<In>(value: In): Condition<In> {
    return this.#is('<', value);
  }

  greaterThan<In>(value: In): Condition<In> {
    return this.#is('>', value);
  }

  #is<In>(operator: CompareOperator, value: In): Condition<In> {
    return { place: this.#place, operator, target: 'value', value };
  }
}

/**
 * Conditions on the keys of a range. All but `count` must hold for every key there is; a range without keys is
 * compared as one key that does not exist, as in etcd.
 */
export interface RangeComparisons {
  readonly value: ValueComparison;
  readonly modRevision: NumberComparison;
  readonly createRevision: NumberComparison;
  readonly version: NumberComparison;
  readonly lease: NumberComparison;
  /** How many keys there are in the range. */
  readonly count: NumberComparison;
}

/**
 * The conditions of a transaction, for `when` of {@link Client.txn}. A key that does not exist has
 * modRevision, createRevision, version and lease 0, and no value.
 *
 * @example
 * ```ts
 * import { compare, op } from 'balsa';
 *
 * const { succeeded } = await db
 *   .txn()
 *   .when(compare.value('state').equals('idle'), compare.modRevision('owner').lessThan(17))
 *   .do(op.put('state', 'busy'))
 *   .commit();
 * ```
 */
export const compare = {
  /** The key exists. */
  exists: (key: Key): Condition<never> =>
    new NumberComparison({ key }, 'createRevision').greaterThan(0),
  /** There is no such key. */
  absent: (key: Key): Condition<never> => new NumberComparison({ key }, 'createRevision').equals(0),
  value: (key: Key): ValueComparison => new ValueComparison({ key }),
  /** Revision of the last put. */
  modRevision: (key: Key): NumberComparison => new NumberComparison({ key }, 'modRevision'),
  /** Revision of the put that created the key. */
  createRevision: (key: Key): NumberComparison => new NumberComparison({ key }, 'createRevision'),
  /** Puts since the key was created. */
  version: (key: Key): NumberComparison => new NumberComparison({ key }, 'version'),
  /** Id of the lease that the key hangs on. */
  lease: (key: Key): NumberComparison => new NumberComparison({ key }, 'lease'),
  /** Every key of a range, or how many there are. */
  range(range: KeyRange): RangeComparisons {
    const place = { range };
    return {
      value: new ValueComparison(place),
      modRevision: new NumberComparison(place, 'modRevision'),
      createRevision: new NumberComparison(place, 'createRevision'),
      version: new NumberComparison(place, 'version'),
      lease: new NumberComparison(place, 'lease'),
      count: new NumberComparison(place, 'count'),
    };
  },
} as const;
