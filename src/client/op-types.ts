import type { CompareOperator } from '../base/operation.js';
import type { KeyForm } from './options.js';
import type { Item, Key, NoOptions, Previous } from './results.js';
import type { DeleteOpOptions, KeyRange, PutOpOptions } from './write-options.js';

/** One key, or all keys of a range. `inStore`: its keys are those of the store, in no namespace. */
export type Place =
  | { readonly key: Key; readonly inStore?: boolean | undefined }
  | { readonly range: KeyRange };

/** A comparison of a transaction; made by {@link compare}. */
export type Condition<In = string | Uint8Array> =
  | {
      readonly place: Place;
      readonly operator: CompareOperator;
      readonly target: 'value';
      readonly value: In;
    }
  | {
      readonly place: Place;
      readonly operator: CompareOperator;
      readonly target: 'version' | 'createRevision' | 'modRevision' | 'lease' | 'count';
      readonly value: number;
    };

export interface PutOp<In, Options extends PutOpOptions = NoOptions> {
  readonly type: 'put';
  readonly key: Key;
  readonly value: In;
  readonly options: Options;
}

export interface TouchOp<Options extends PutOpOptions = NoOptions> {
  readonly type: 'touch';
  readonly key: Key;
  readonly options: Options;
}

export interface DeleteOp<Options extends DeleteOpOptions = NoOptions> {
  readonly type: 'delete';
  readonly key: Key;
  readonly options: Options;
}

export interface DeleteRangeOp<Options extends KeyRange & DeleteOpOptions> {
  readonly type: 'delete-range';
  readonly range: KeyRange;
  readonly options: Options;
}

export interface GetOp {
  readonly type: 'get';
  readonly key: Key;
}

/** Which keys a range in a transaction gives, and what of each. */
export interface RangeOpOptions {
  /** Most keys to give. Default: no limit but those of a transaction. */
  readonly limit?: number | undefined;
  /** From the last key to the first. Default `false`. */
  readonly reverse?: boolean | undefined;
  /** The `value` of the items is `undefined`. Default `false`. */
  readonly keysOnly?: boolean | undefined;
  /** No items at all, only `count`. Default `false`. */
  readonly countOnly?: boolean | undefined;
  /** Only keys whose last put was at this revision or later. */
  readonly minModRevision?: number | undefined;
  /** Only keys whose last put was at this revision or earlier. */
  readonly maxModRevision?: number | undefined;
  /** Only keys created at this revision or later. */
  readonly minCreateRevision?: number | undefined;
  /** Only keys created at this revision or earlier. */
  readonly maxCreateRevision?: number | undefined;
}

export interface RangeOp<Options extends KeyRange & RangeOpOptions> {
  readonly type: 'range';
  readonly range: KeyRange;
  readonly options: Options;
}

/** A transaction as a step of another one. */
export interface TxnOp<In> {
  readonly type: 'txn';
  readonly conditions: readonly Condition<In>[];
  readonly success: readonly Op<In>[];
  readonly failure: readonly Op<In>[];
}

/** A step of a transaction; made by {@link op}. */
export type Op<In = string | Uint8Array> =
  | PutOp<In, PutOpOptions>
  | TouchOp<PutOpOptions>
  | DeleteOp<DeleteOpOptions>
  | DeleteRangeOp<KeyRange & DeleteOpOptions>
  | GetOp
  | RangeOp<KeyRange & RangeOpOptions>
  | TxnOp<In>;

/** What a read of one key in a transaction gives. */
export interface GetOpResult<Out> {
  /** `undefined`: there is no such key. */
  readonly value: Out | undefined;
  /** Revision of the last put; 0 when there is no such key. */
  readonly modRevision: number;
  /** Revision of the put that created the key; 0 when there is no such key. */
  readonly createRevision: number;
  /** Puts since the key was created; 0 when there is no such key. */
  readonly version: number;
  /** The lease that the key hangs on; 0: none. */
  readonly lease: number;
}

/** What a read of a range in a transaction gives. */
export interface RangeOpResult<One> {
  readonly items: readonly One[];
  /** Keys that match, also beyond `limit`. */
  readonly count: number;
  /** With `limit`, of a range of more than some hundred keys: `count` is that of `items`, and there may be more. */
  readonly more?: true;
}

type ItemOf<Options, Out, Keys extends KeyForm> = Options extends { readonly keysOnly: true }
  ? Item<undefined, Keys>
  : Item<Out, Keys>;

/** What one step of a transaction gives. */
export type OpResult<Step, Out, Keys extends KeyForm> = Step extends {
  readonly type: 'put' | 'touch';
  readonly options: infer Options;
}
  ? { readonly revision: number } & Previous<Options, Item<Out, Keys> | null>
  : Step extends { readonly type: 'delete'; readonly options: infer Options }
    ? { readonly deleted: boolean; readonly revision: number } & Previous<
        Options,
        Item<Out, Keys> | null
      >
    : Step extends { readonly type: 'delete-range'; readonly options: infer Options }
      ? { readonly deleted: number; readonly revision: number } & Previous<
          Options,
          readonly Item<Out, Keys>[]
        >
      : Step extends { readonly type: 'get' }
        ? GetOpResult<Out>
        : Step extends { readonly type: 'range'; readonly options: infer Options }
          ? RangeOpResult<ItemOf<Options, Out, Keys>>
          : Step extends {
                readonly type: 'txn';
                readonly success: infer Then;
                readonly failure: infer Else;
              }
            ? BranchResult<Then, Else, Out, Keys>
            : never;

/** The results of a list of steps, one by one. */
export type OpResults<Steps, Out, Keys extends KeyForm> = {
  readonly [I in keyof Steps]: OpResult<Steps[I], Out, Keys>;
};

/** Which branch of a transaction was taken, and what its steps gave. */
export type BranchResult<Then, Else, Out, Keys extends KeyForm> =
  | {
      readonly succeeded: true;
      readonly results: OpResults<Then, Out, Keys>;
      /** That of the writes; of the store when there were none. */
      readonly revision: number;
    }
  | {
      readonly succeeded: false;
      readonly results: OpResults<Else, Out, Keys>;
      readonly revision: number;
    };
