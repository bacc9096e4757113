/**
 * What a call of an `ap` procedure leaves: changes of cells, which are made where the call was, and merged into the log when
 * that can be reached. How it travels: `delta-codec`.
 */

import { startsWith, toBuffer } from './bytes.js';
import { CALL_TAGS } from './command-versions.js';

export const CELL_TYPES = [
  'counter',
  'escrow',
  'set',
  'map',
  'register',
  'multi-value',
  'log',
] as const;
export type CellType = (typeof CELL_TYPES)[number];

/**
 * Names one change for ever: `call:place`, or `~place` within the call that makes the change itself. So whoever removes what a
 * call has added removes it also if the log counts the same call of another replica.
 */
export type ChangeTag = string;

/**
 * One change of one cell. All that is added is known by its {@link ChangeTag}; what takes something away names what it has
 * seen of it (`observed`), so that what is added at the same time elsewhere stays (add wins).
 */
export type CellChange =
  /** `by`: a safe integer. */
  | { readonly cell: 'counter'; readonly type: 'add'; readonly by: number }
  /** Makes rights, which are there when it is merged: split among the origins that there are then. `by`: 1 or more. */
  | { readonly cell: 'escrow'; readonly type: 'add'; readonly by: number }
  /** Uses rights of its own origin. */
  | { readonly cell: 'escrow'; readonly type: 'take'; readonly by: number }
  /** Hands rights of its own origin to another one, which has them when it is merged. */
  | { readonly cell: 'escrow'; readonly type: 'give'; readonly by: number; readonly to: string }
  /** `item`, `value`: JSON. */
  | {
      readonly cell: 'set';
      readonly type: 'add' | 'remove';
      readonly item: string;
      readonly observed: readonly ChangeTag[];
    }
  | {
      readonly cell: 'map';
      readonly type: 'put';
      readonly field: string;
      readonly value: string;
      readonly observed: readonly ChangeTag[];
    }
  | {
      readonly cell: 'map';
      readonly type: 'remove';
      readonly field: string;
      readonly observed: readonly ChangeTag[];
    }
  | { readonly cell: 'register'; readonly type: 'set'; readonly value: string }
  | {
      readonly cell: 'multi-value';
      readonly type: 'set';
      readonly value: string;
      readonly observed: readonly ChangeTag[];
    }
  | { readonly cell: 'log'; readonly type: 'append'; readonly value: string };

/** A change, and the cell that it is made to. */
export interface CellWrite {
  /** As the author of the procedure has named it: without {@link CELL_PREFIX}. */
  readonly key: string;
  readonly change: CellChange;
}

/**
 * A hybrid logical clock (Kulkarni et al. 2014): behind all that had been seen where it was made, and close to the time of
 * day. The origin decides between two that are equal.
 */
export interface HybridTime {
  /** Milliseconds since 1970. */
  readonly timeMs: number;
  readonly count: number;
}

/** When and where one change was made. */
export interface ChangeStamp extends HybridTime {
  readonly origin: string;
  /** What {@link callNameOf} gives; empty: of a call that is under way. */
  readonly call: string;
  /** In its delta, from 0. */
  readonly place: number;
}

/** All changes of one call. */
export interface Delta extends HybridTime {
  /** The queue that it was made in, whose name dies with its disk. */
  readonly origin: string;
  /** From 1, without gaps. */
  readonly sequence: number;
  /** The idempotency key: of all deltas with the same one, one counts. */
  readonly key: Uint8Array;
  /** The key was chosen by the caller. */
  readonly isNamed: boolean;
  /** Of procedure and arguments. */
  readonly fingerprint: Uint8Array;
  /** As it was called: `view`, `view@prod`. */
  readonly procedure: string;
  /** Of the code that ran. SHA-256, hex. */
  readonly hash: string;
  readonly writes: readonly CellWrite[];
  /** JSON. */
  readonly result: string;
}

/**
 * The same wherever the call was made, and another one for each call.
 * @param version of the entry that merges the delta: before {@link CALL_TAGS} each delta had a name of its own
 */
export function callNameOf({ key, origin, sequence }: Delta, version = CALL_TAGS): string {
  if (version < CALL_TAGS) return `${origin}:${sequence}`;
  return toBuffer(key).toString('base64url');
}

/** Where merged cells lie, as JSON, for reads and watchers. Nothing else can be put there. */
export const CELL_PREFIX = '_cells/';

export const CELL_PREFIX_BYTES = Buffer.from(CELL_PREFIX);

/** The name of the cell that lies at a key; `null`: it is another key. */
export function cellNameOf(key: Uint8Array): string | null {
  if (!isCellKey(key)) return null;
  return toBuffer(key.subarray(CELL_PREFIX_BYTES.length)).toString('utf8');
}

export function isCellKey(key: Uint8Array): boolean {
  return startsWith(key, CELL_PREFIX_BYTES);
}

/** Characters of an origin: 16 hexadecimal digits. */
export const ORIGIN_LENGTH = 16;
