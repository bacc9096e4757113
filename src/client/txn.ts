import { notApplied } from './before-writing.js';
import { invalid } from './invalid.js';
import { checkSteps, type TxnSpec } from './op.js';
import type { BranchResult, Condition, Op, TxnOp } from './op-types.js';
import type { CallOptions, KeyForm } from './options.js';
import type { Meta } from './pending.js';
import type { Scope } from './scope.js';
import { encodeTxn, toBranchResult } from './txn-encode.js';

/** What a transaction gave: which branch was taken, and one result for each of its steps. */
export type TxnResult<Then, Else, Out, Keys extends KeyForm> = BranchResult<
  Then,
  Else,
  Out,
  Keys
> & { readonly meta: Meta };

const NO_OPTIONS = {};

/**
 * A transaction that is being put together; made by {@link Client.txn}. Each method gives a new one and
 * leaves this as it is; nothing is sent before `commit()`.
 */
export class Txn<
  In,
  Out,
  Keys extends KeyForm,
  Then extends readonly unknown[] = [],
  Else extends readonly unknown[] = [],
> {
  readonly #scope: Scope<In, Out, Keys>;
  readonly #spec: TxnSpec<In, Then, Else>;

  /** @internal */
  constructor(scope: Scope<In, Out, Keys>, spec: TxnSpec<In, Then, Else>) {
    this.#scope = scope;
    this.#spec = spec;
  }

  /** Conditions that must all hold; more calls add more. Without any, the steps of `do` are done. */
  when(...conditions: readonly Condition<In>[]): Txn<In, Out, Keys, Then, Else> {
    return new Txn(this.#scope, this.#spec.when<In>(...conditions));
  }

  /** What is done when all conditions hold; more calls add more. */
  do<const Steps extends readonly Op<In>[]>(
    ...steps: Steps
  ): Txn<In, Out, Keys, [...Then, ...Steps], Else> {
    checkSteps(steps);
    return new Txn(this.#scope, this.#spec.do(...steps));
  }

  /** What is done when a condition does not hold; more calls add more. */
  otherwise<const Steps extends readonly Op<In>[]>(
    ...steps: Steps
  ): Txn<In, Out, Keys, Then, [...Else, ...Steps]> {
    checkSteps(steps);
    return new Txn(this.#scope, this.#spec.otherwise(...steps));
  }

  /**
   * Sends it. Conditions are looked at and steps are done in one moment; all writes have one revision. A
   * condition that does not hold is no error: `succeeded` is false then.
   *
   * @throws BalsaError `KEY_DUPLICATE` (a key is written twice), `KEY_NOT_FOUND` (of a touch),
   *   `TXN_TOO_LARGE` (more than 10,000 conditions and steps, 65,535 keys written, 64 MiB of values
   *   touched or 256 MiB of them compared), `BATCH_TOO_LARGE` (too many bytes),
   *   `RANGE_TOO_LARGE`, `LEASE_NOT_FOUND`, `LEASE_FULL`, `QUOTA_EXCEEDED`, `NO_SPACE`,
   *   `UPGRADE_PENDING`: nothing of it is done; and those of {@link Client.put}
   */
  commit(options: CallOptions = NO_OPTIONS): Promise<TxnResult<Then, Else, Out, Keys>> {
    const scope = this.#scope;
    // `do` and `otherwise` took only steps of this type.
    const txn = this.#spec as unknown as TxnOp<In>;
    return scope.write(
      options,
      'txn',
      () => {
        if (txn.success.length + txn.failure.length + txn.conditions.length === 0) {
          throw invalid('the transaction has neither conditions nor steps');
        }
        return encodeTxn(scope, txn);
      },
      (result, meta) => {
        const branch = branchResult(scope, txn as TxnOp<never>, result);
        // One result for each step, as OpResult says of each type.
        return { meta, ...branch } as TxnResult<Then, Else, Out, Keys>;
      },
    );
  }
}

/** @throws BalsaError `VALUE_NOT_DECODABLE` (`not-applied` where nothing can have been written) */
function branchResult(
  scope: Scope<never, unknown, KeyForm>,
  txn: TxnOp<never>,
  result: Parameters<typeof toBranchResult>[2],
): ReturnType<typeof toBranchResult> {
  try {
    return toBranchResult(scope, txn, result);
  } catch (error) {
    const steps = result.succeeded ? txn.success : txn.failure;
    throw steps.some(mayWrite) ? error : notApplied(error);
  }
}

function mayWrite(step: Op<never>): boolean {
  if (step.type === 'txn') return [...step.success, ...step.failure].some(mayWrite);
  return step.type !== 'get' && step.type !== 'range';
}
