/**
 * A call of a stored procedure as the log knows it: not the code that ran, but what it read and what it writes if all of
 * that still holds. How it travels: `call-codec`.
 */
import { toBuffer, toBytes } from './bytes.js';
import type { CellWrite } from './delta.js';

/** A key that was read, and what was there; 0: nothing. */
export interface KeyRead {
  readonly key: Uint8Array;
  /** That of a write of the same log entry: {@link pendingRevision}. */
  readonly modRevision: number;
}

/** A range as far as it was really read: so many keys. */
export interface RangeRead {
  readonly from: Uint8Array;
  readonly to: Uint8Array | null;
  readonly keys: number;
  /** None was written later, but for those that other calls of the same log entry write ({@link CallRecord.dependsOn}). */
  readonly modRevisionMax: number;
}

/** `value` null: deleted. */
export interface KeyWrite {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** Changes a number, whatever it is by then: nothing was read. */
export interface KeyUpdate {
  readonly type: 'add' | 'max';
  readonly key: Uint8Array;
  readonly by: number;
}

/** Written if there is nothing by then. */
export interface KeyDefault {
  readonly type: 'set-if-absent';
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface EmittedEvent {
  readonly name: string;
  /** JSON. */
  readonly payload: string;
}

/** What a call has read: whatever came of it holds only as long as this does. */
export interface CallReads {
  readonly reads: readonly KeyRead[];
  readonly ranges: readonly RangeRead[];
}

/** What looking at a range costs beside its keys, in keys. */
export const RANGE_COST = 4;

/** What looking at the ranges again takes of the keys that one log entry may look at (`entryReadKeysMax`). */
export function costOf(ranges: readonly RangeRead[]): number {
  return ranges.reduce((sum, { keys }) => sum + keys + RANGE_COST, 0);
}

/** What a call that goes into the log has read and would write. Nothing of it has happened yet. */
export interface RecordedEffects extends CallReads {
  /** Each key once, in the order of the first write. */
  readonly writes: readonly KeyWrite[];
  readonly updates: readonly (KeyUpdate | KeyDefault)[];
  readonly events: readonly EmittedEvent[];
}

/** As {@link RecordedEffects}, of a call of any mode. */
export interface Effects extends RecordedEffects {
  /** In order: of calls of `ap` procedures, which write nothing else and never become a {@link CallRecord}. */
  readonly cells: readonly CellWrite[];
}

/** How the code ended. */
export type CallEnd =
  /** JSON. */
  | { readonly ok: true; readonly result: string }
  /** Nothing is written; but what it read must hold for the failure, too. */
  | {
      readonly ok: false;
      readonly code: string;
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
    };

/** One call in a log entry. */
export interface CallRecord extends RecordedEffects {
  /** The idempotency key: of all calls with the same one, one is applied. */
  readonly key: Uint8Array;
  /** The key was chosen by the caller, and is kept for longer. */
  readonly isNamed: boolean;
  /** An index that was applied somewhere when the key was made; as `WriteBatch.bornIndex`. */
  readonly bornIndex: number;
  /** As it was called: `transfer`, `transfer@prod`. */
  readonly procedure: string;
  /** Of the code that ran; the call holds only if that is what {@link procedure} still stands for. SHA-256, hex. */
  readonly hash: string;
  /** Of procedure and arguments: the same key for another call is a mistake. */
  readonly fingerprint: Uint8Array;
  /** Calls before it in the same entry, by their place, whose writes it has seen: it stands and falls with them. */
  readonly dependsOn: readonly number[];
  readonly end: CallEnd;
}

/** What became of a call that was applied. */
export interface CallOutcome {
  /** JSON. */
  readonly result: string;
  /** That of its writes, or of the store when there are none. */
  readonly revision: number;
}

/** Bytes of an idempotency key. */
export const CALL_KEY_BYTES_MAX = 256;

export const FINGERPRINT_BYTES = 8;

export const HASH_BYTES = 32;

/** Where events lie, for watchers: `_events/<name>/<which of that name in its call, from 0>`. */
export const EVENT_PREFIX = '_events/';

/** Where it lies how far triggers have come. */
export const TRIGGER_PREFIX = '_triggers/';

/** The writes that bring events into being. */
export function eventWrites(
  events: readonly EmittedEvent[],
): readonly (KeyWrite & { readonly value: Uint8Array })[] {
  if (events.length === 0) return [];
  const counts = new Map<string, number>();
  return events.map(({ name, payload }) => {
    const which = counts.get(name) ?? 0;
    counts.set(name, which + 1);
    return { key: toBytes(`${EVENT_PREFIX}${name}/${which}`), value: toBytes(payload) };
  });
}

/** Behind all revisions that there can be. */
const PENDING_FROM = 2 ** 52;

/** Stands for the revision of the writes of a call that is in the same log entry, at this place. */
export function pendingRevision(place: number): number {
  return PENDING_FROM + place;
}

/** The place of the call whose writes it stands for; `null`: it is a revision. */
export function pendingPlace(revision: number): number | null {
  return revision >= PENDING_FROM ? revision - PENDING_FROM : null;
}

/**
 * What an update makes of what is there, JSON.
 * @param current `null`: nothing
 * @returns the number, or why there is none
 */
export function updatedNumber(
  { type, by }: KeyUpdate,
  current: Uint8Array | null,
): number | string {
  const before = current === null ? null : numberIn(current);
  if (Number.isNaN(before)) return 'what is there is not a number';
  const after = type === 'add' ? (before ?? 0) + by : Math.max(before ?? by, by);
  return Number.isFinite(after) ? after : 'the result is no finite number';
}

function numberIn(bytes: Uint8Array): number {
  try {
    const value: unknown = JSON.parse(toBuffer(bytes).toString('utf8'));
    return typeof value === 'number' ? value : Number.NaN;
  } catch {
    return Number.NaN;
  }
}
