import type { CallOptions } from './options.js';
import type { Key } from './results.js';

/** A lease by its handle or by its id. */
export type LeaseRef = number | { readonly id: number };

/** What a put (or touch) of one key may say besides, alone or in a transaction. */
export interface PutOpOptions {
  /**
   * The lease that the key shall hang on: it is deleted when the lease ends. Default: none, and a key
   * that hung on one does so no more.
   */
  readonly lease?: LeaseRef | undefined;
  /** The key stays on the lease that it hangs on, as with `ignore_lease` of etcd. Default `false`. */
  readonly ignoreLease?: boolean | undefined;
  /** The result has `previous`: what the key held before, or `null`. Default `false`. */
  readonly returnPrevious?: boolean | undefined;
}

/** What a delete may say besides, alone or in a transaction. */
export interface DeleteOpOptions {
  /** The result has `previous`: what was deleted. Default `false`. */
  readonly returnPrevious?: boolean | undefined;
}

/** Options of {@link Client.put} and {@link Client.touch}. */
export interface PutOptions extends PutOpOptions, CallOptions {}

/** Options of {@link Client.delete}. */
export interface DeleteOptions extends DeleteOpOptions, CallOptions {}

/**
 * Which keys: all that start with `prefix`, or those with `from <= key < to`. At least one of the three
 * must be there; `from: ''` begins with the first key of all.
 */
export type KeyRange =
  | { readonly prefix: Key; readonly from?: undefined; readonly to?: undefined }
  | { readonly prefix?: undefined; readonly from: Key; readonly to?: Key | undefined }
  | { readonly prefix?: undefined; readonly from?: Key | undefined; readonly to: Key };

/** Options of {@link Client.deleteRange}. */
export type DeleteRangeOptions = KeyRange & DeleteOptions;

/** What {@link Client.cas} expects to find. */
export type Expected<In = string | Uint8Array> =
  /** There is no such key. */
  | 'absent'
  /** The key was put last at this revision; 0: there is no such key. */
  | { readonly modRevision: number }
  /** The key was put so many times since it was created; 0: there is no such key. */
  | { readonly version: number }
  /** The key holds this value, byte for byte as the codec encodes it. */
  | { readonly value: In };

/** Options of {@link Client.cas}: what is expected, and what to do then. */
export type CasOptions<In = string | Uint8Array> = CallOptions & {
  readonly expected: Expected<In>;
} & (
    | {
        /** The new value. */
        readonly value: In;
        /** The lease that the key shall hang on then. Default: none. */
        readonly lease?: LeaseRef | undefined;
        readonly delete?: undefined;
      }
    | {
        /** Delete the key. */
        readonly delete: true;
        readonly value?: undefined;
        readonly lease?: undefined;
      }
  );
