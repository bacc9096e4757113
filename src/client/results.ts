import type { KeyForm } from './options.js';
import type { Meta } from './pending.js';

/** A key as text (its UTF-8 bytes count) or as bytes. */
export type Key = string | Uint8Array;

/** The form in which keys are given back. */
export type KeyOf<Keys extends KeyForm> = Keys extends 'text' ? string : Buffer;

/** A key and what it holds. */
export interface Item<Out = Buffer, Keys extends KeyForm = 'text'> {
  readonly key: KeyOf<Keys>;
  readonly value: Out;
  /** Revision of the last put. */
  readonly modRevision: number;
  /** Revision of the put that created the key. */
  readonly createRevision: number;
  /** Puts since the key was created: 1 after the first. */
  readonly version: number;
  /** The lease that the key hangs on; 0: none. */
  readonly lease: number;
}

/** An option that was not given. */
export type NoOptions = Record<never, never>;

/** What a write gives besides, when its options ask for what was there before. */
export type Previous<Options, Before> = 'returnPrevious' extends keyof Options
  ? Options['returnPrevious'] extends true
    ? { readonly previous: Before }
    : true extends Options['returnPrevious']
      ? { readonly previous?: Before }
      : unknown
  : unknown;

export interface PutResult {
  /** The revision that this put made. */
  readonly revision: number;
  readonly meta: Meta;
}

/** What a change of the store gives that is no write of a key. */
export interface ChangeResult {
  /** The revision that it made, or that of the store when it made none. */
  readonly revision: number;
  readonly meta: Meta;
}

export interface DeleteResult {
  /** Was there a value? */
  readonly deleted: boolean;
  /** The revision that the deletion made, or that of the store when there was nothing to delete. */
  readonly revision: number;
  readonly meta: Meta;
}

export interface DeleteRangeResult {
  /** How many keys there were. */
  readonly deleted: number;
  /** The one revision of all these deletions, or that of the store when there was nothing to delete. */
  readonly revision: number;
  readonly meta: Meta;
}

/** What became of a compare-and-set. */
export type CasResult<Out = Buffer, Keys extends KeyForm = 'text'> =
  | {
      readonly succeeded: true;
      /** The revision that the write made. */
      readonly revision: number;
      readonly meta: Meta;
    }
  | {
      readonly succeeded: false;
      /** The revision of the store at which the key was looked at. */
      readonly revision: number;
      /** What the key holds instead; `null`: there is no such key. */
      readonly current: Item<Out, Keys> | null;
      readonly meta: Meta;
    };
