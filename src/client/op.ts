import { invalid } from './invalid.js';
import type {
  Condition,
  DeleteOp,
  DeleteRangeOp,
  GetOp,
  Op,
  PutOp,
  RangeOp,
  RangeOpOptions,
  TouchOp,
} from './op-types.js';
import type { Key, NoOptions } from './results.js';
import type { DeleteOpOptions, KeyRange, PutOpOptions } from './write-options.js';

/**
 * A transaction that is a step of another one; made by `op.txn()`. Each method gives a new one and leaves
 * this as it is.
 */
export class TxnSpec<In, Then extends readonly unknown[], Else extends readonly unknown[]> {
  readonly type = 'txn';
  readonly conditions: readonly Condition<In>[];
  readonly success: Then;
  readonly failure: Else;

  /** @internal */
  constructor(conditions: readonly Condition<In>[], success: Then, failure: Else) {
    this.conditions = conditions;
    this.success = success;
    this.failure = failure;
  }

  /** Conditions that must all hold; more calls add more. */
  when<Value>(...conditions: readonly Condition<Value>[]): TxnSpec<In | Value, Then, Else> {
    return new TxnSpec<In | Value, Then, Else>(
      [...this.conditions, ...conditions],
      this.success,
      this.failure,
    );
  }

  /** What is done when all conditions hold; more calls add more. */
  do<const Steps extends readonly Op<unknown>[]>(
    ...steps: Steps
  ): TxnSpec<In, [...Then, ...Steps], Else> {
    return new TxnSpec(this.conditions, [...this.success, ...steps], this.failure);
  }

  /** What is done when a condition does not hold; more calls add more. */
  otherwise<const Steps extends readonly Op<unknown>[]>(
    ...steps: Steps
  ): TxnSpec<In, Then, [...Else, ...Steps]> {
    return new TxnSpec(this.conditions, this.success, [...this.failure, ...steps]);
  }
}

const NO_OPTIONS = {};

// A step without options has the type of none; the compiler does not see that the default is that.
const given = <Options>(options: Options | undefined): Options =>
  options ?? (NO_OPTIONS as Options);

/**
 * The steps of a transaction, for `do` and `otherwise` of {@link Client.txn}. Making one does nothing yet.
 *
 * @example
 * ```ts
 * import { compare, op } from 'balsa';
 *
 * await db.txn().do(op.put('a', '1'), op.delete('b'), op.get('c')).commit();
 * ```
 */
export const op = {
  /** Sets a key; as {@link Client.put}. Gives `{ revision }`, and `previous` when asked for. */
  put<In, const Options extends PutOpOptions = NoOptions>(
    key: Key,
    value: In,
    options?: Options,
  ): PutOp<In, Options> {
    return { type: 'put', key, value, options: given(options) };
  },
  /** Keeps the value of a key; as {@link Client.touch}. */
  touch<const Options extends PutOpOptions = NoOptions>(
    key: Key,
    options?: Options,
  ): TouchOp<Options> {
    return { type: 'touch', key, options: given(options) };
  },
  /** Removes a key; as {@link Client.delete}. */
  delete<const Options extends DeleteOpOptions = NoOptions>(
    key: Key,
    options?: Options,
  ): DeleteOp<Options> {
    return { type: 'delete', key, options: given(options) };
  },
  /** Removes the keys of a range; as {@link Client.deleteRange}. */
  deleteRange<const Options extends KeyRange & DeleteOpOptions>(
    options: Options,
  ): DeleteRangeOp<Options> {
    return { type: 'delete-range', range: options, options };
  },
  /** Reads a key as it is at this step: what earlier steps wrote is seen. */
  get(key: Key): GetOp {
    return { type: 'get', key };
  },
  /**
   * Reads the keys of a range as they are at this step. All reads of a transaction together may give
   * 10,000 keys and 1 MiB, or one value (`RANGE_TOO_LARGE`: nothing of the transaction is done). With `limit` the first
   * keys are read of a range of any size (with a filter, of the first 10,000 that are there); without, and to count, the
   * range may have 10,000 keys.
   */
  range<const Options extends KeyRange & RangeOpOptions>(options: Options): RangeOp<Options> {
    return { type: 'range', range: options, options };
  },
  /** A transaction as a step: its conditions see what earlier steps wrote. At most 4 deep. */
  txn(): TxnSpec<never, [], []> {
    return new TxnSpec<never, [], []>([], [], []);
  },
} as const;

/** Looks at what came from code that is not typed. @throws BalsaError `INVALID_ARGUMENT` */
export function checkSteps(steps: readonly unknown[]): void {
  for (const step of steps) {
    if (typeof step === 'object' && step !== null && 'type' in step) continue;
    throw invalid('the steps of a transaction are made by op.put, op.get and so on');
  }
}
