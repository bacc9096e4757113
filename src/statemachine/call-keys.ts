import { assert } from '../base/assert.js';
import { equalBytes, fromMapKey, toMapKey } from '../base/bytes.js';
import type { CallOutcome } from '../base/call.js';
import { unpackCallOutcome } from '../base/call-codec.js';
import { check, packToKeep, unpack } from '../base/codec.js';
import { BalsaError } from '../base/errors.js';
import { corrupt } from './corrupt.js';
import { KeyFilter } from './key-filter.js';
import {
  CALL_GROUPS_FROM,
  CALL_GROUPS_TO,
  CALLS_KEY,
  fromCallGroupKey,
  toCallGroupKey,
  toCallKey,
} from './layout.js';
import { loadRecords } from './load-records.js';
import { orCorrupt } from './procedure-record.js';
import { Refusal } from './refusal.js';
import type { Moment } from './session-record.js';
import type { StateStore, StateWrite } from './state-store.js';

/** How long, and how many, outcomes are remembered; part of what the log means, as `SessionBounds`. */
export interface CallKeyBounds {
  readonly callKeptMs: number;
  readonly callsKeptMax: number;
  readonly namedCallKeptMs: number;
  readonly namedCallsMax: number;
}

/** What tells one call from others. */
export interface CallIdentity {
  readonly key: Uint8Array;
  readonly isNamed: boolean;
  readonly bornIndex: number;
  readonly fingerprint: Uint8Array;
}

/** A call that was applied, and what it was answered. */
export interface KnownCall extends CallOutcome {
  readonly fingerprint: Uint8Array;
}

/** What is to be done with a call. */
export type CallVerdict =
  | { readonly type: 'apply' }
  /** It was applied before; this was the outcome. */
  | { readonly type: 'repeat'; readonly outcome: Uint8Array }
  | { readonly type: 'refuse'; readonly error: BalsaError };

/** Calls of one entry, which are forgotten together. */
interface Group {
  readonly index: number;
  readonly timeMs: number;
  readonly count: number;
}

/** Calls forgotten with one entry: after a long pause it must not take long. */
const FORGOTTEN_PER_ENTRY_MAX = 4096;

const GENERATED = 0;
const NAMED = 1;
const FORMAT = 1;

/**
 * The outcomes of calls under their idempotency keys: what makes a call count once, however often it is asked for, and of
 * whomever. They grow old in log time, so all of it is a function of the log.
 *
 * Changes are staged, seen by what follows, and reach the store with {@link CallKeys.flushInto}.
 */
export class CallKeys {
  readonly #store: StateStore;
  readonly #kinds: readonly [KeptCalls, KeptCalls];
  #forgottenThrough: number;
  #isChanged = false;
  /** By key (`toMapKey`). */
  readonly #staged = new Map<string, StateWrite>();
  /** Of all keys that are remembered: nearly every call is a new one, and need not be looked for in the store. */
  readonly #filter = new KeyFilter();

  private constructor(store: StateStore, bounds: CallKeyBounds, forgottenThrough: number) {
    const { callKeptMs, callsKeptMax, namedCallKeptMs, namedCallsMax } = bounds;
    this.#store = store;
    this.#forgottenThrough = forgottenThrough;
    this.#kinds = [
      new KeptCalls(GENERATED, callKeptMs, callsKeptMax),
      new KeptCalls(NAMED, namedCallKeptMs, namedCallsMax),
    ];
  }

  /** The outcomes as the store has them. */
  static async load(store: StateStore, bounds: CallKeyBounds): Promise<CallKeys> {
    const calls = new CallKeys(store, bounds, loadForgottenThrough(store));
    const groups = { from: CALL_GROUPS_FROM, to: CALL_GROUPS_TO };
    await loadRecords(store, groups, (storeKey, bytes) => {
      const { kind, index } = fromCallGroupKey(storeKey);
      const { timeMs, keys } = decodeGroup(bytes);
      calls.#kinds[kind === NAMED ? NAMED : GENERATED].add({ index, timeMs, count: keys.length });
      for (const key of keys) calls.#filter.add(key);
    });
    return calls;
  }

  /** Outcomes that are remembered. */
  get size(): number {
    return this.#filter.size;
  }

  /** Says what is to be done with a call that entry `index` holds. Changes nothing. */
  judge({ key, isNamed, bornIndex, fingerprint }: CallIdentity, index: number): CallVerdict {
    const known = this.#find(toMapKey(key));
    if (known !== null) {
      if (!equalBytes(known.fingerprint, fingerprint)) return refuse(keyReused());
      return { type: 'repeat', outcome: known.outcome };
    }
    // As with sessions: a key that was forgotten was born before the last entry that is. See `Sessions`.
    const mayBeForgotten = !isNamed && bornIndex < this.#forgottenThrough;
    if (mayBeForgotten || bornIndex >= index) return refuse(expired(index));
    if (isNamed && this.#kinds[NAMED].isFull) return refuse(full(this.#kinds[NAMED].max));
    return { type: 'apply' };
  }

  /** Keeps the outcome of a call that was judged `apply` and has been applied. */
  recordApplied({ key, isNamed, fingerprint }: CallIdentity, outcome: Uint8Array): void {
    const mapKey = toMapKey(key);
    const value = packToKeep([FORMAT, fingerprint, outcome]);
    this.#staged.set(mapKey, { key: toCallKey(mapKey), value });
    this.#kinds[isNamed ? NAMED : GENERATED].begin(mapKey);
    this.#filter.add(mapKey);
  }

  /** Forgets those that are older than is promised, or too many; the oldest first. */
  forgetOld(timeMs: number): void {
    let left = FORGOTTEN_PER_ENTRY_MAX;
    for (const kind of this.#kinds) {
      for (let group = kind.due(timeMs); group !== null && left > 0; group = kind.due(timeMs)) {
        left -= group.count;
        this.#forget(kind);
      }
    }
  }

  #forget(kind: KeptCalls): void {
    const { index } = kind.shift();
    const groupKey = toCallGroupKey(kind.kind, index);
    const bytes = this.#store.get(groupKey);
    if (bytes === undefined) throw corrupt(`no keys of the calls of entry ${index}`);
    for (const mapKey of decodeGroup(bytes).keys) {
      this.#staged.set(mapKey, { key: toCallKey(mapKey), value: null });
      this.#filter.delete(mapKey);
    }
    kind.removed.push(groupKey);
    if (kind.kind !== NAMED) this.forgotThrough(index);
  }

  /** Calls with keys of clients that entries through `index` held are remembered no more, here or elsewhere: older ones are refused. */
  forgotThrough(index: number): void {
    if (index <= this.#forgottenThrough) return;
    this.#forgottenThrough = index;
    this.#isChanged = true;
  }

  /** What was applied under a key, as long as it is remembered. */
  find(key: Uint8Array): KnownCall | null {
    const found = this.#find(toMapKey(key));
    if (found === null) return null;
    const { fingerprint, outcome } = found;
    return orCorrupt('a call', () => ({ fingerprint, ...unpackCallOutcome(outcome) }));
  }

  #find(mapKey: string): { readonly fingerprint: Uint8Array; readonly outcome: Uint8Array } | null {
    if (!this.#filter.mayHave(mapKey)) return null;
    const staged = this.#staged.get(mapKey);
    const bytes = staged === undefined ? this.#store.get(toCallKey(mapKey)) : staged.value;
    if (bytes === undefined || bytes === null) return null;
    return orCorrupt('a call', () => {
      const [format, fingerprint, outcome] = check.tuple(unpack(bytes), 'call', 3);
      if (format !== FORMAT) throw corrupt(`the outcome of a call of format ${String(format)}`);
      return {
        fingerprint: check.bytes(fingerprint, 'fingerprint'),
        outcome: check.bytes(outcome, 'outcome'),
      };
    });
  }

  /** Adds all that is staged to `writes`; the caller gives them to the store before anything else. */
  flushInto(writes: StateWrite[], now: Pick<Moment, 'index' | 'timeMs'>): void {
    for (const write of this.#staged.values()) writes.push(write);
    this.#staged.clear();
    for (const kind of this.#kinds) kind.flushInto(writes, now);
    if (!this.#isChanged) return;
    writes.push({ key: CALLS_KEY, value: packToKeep([FORMAT, this.#forgottenThrough]) });
    this.#isChanged = false;
  }
}

/** The calls of one kind, in the order in which they are forgotten. */
class KeptCalls {
  readonly kind: number;
  readonly max: number;
  readonly #keptMs: number;
  #groups: Group[] = [];
  /** Groups before this one are gone. */
  #first = 0;
  #size = 0;
  /** Keys of the calls of the entry in hand. */
  #begun: string[] = [];
  removed: Uint8Array[] = [];

  constructor(kind: number, keptMs: number, max: number) {
    this.kind = kind;
    this.#keptMs = keptMs;
    this.max = max;
  }

  get isFull(): boolean {
    return this.#size >= this.max;
  }

  add(group: Group): void {
    this.#groups.push(group);
    this.#size += group.count;
  }

  begin(mapKey: string): void {
    this.#begun.push(mapKey);
    this.#size += 1;
  }

  /** The oldest group, if it is to be forgotten. What was promised to be kept is not too many: it was refused. */
  due(timeMs: number): Group | null {
    const oldest = this.#groups[this.#first];
    if (oldest === undefined) return null;
    const isOld = timeMs - oldest.timeMs > this.#keptMs;
    const isTooMany = this.kind === GENERATED && this.#size > this.max;
    return isOld || isTooMany ? oldest : null;
  }

  shift(): Group {
    const oldest = this.#groups[this.#first];
    assert(oldest !== undefined, 'there is a group to forget');
    this.#first += 1;
    this.#size -= oldest.count;
    if (this.#first > 1000 && this.#first * 2 > this.#groups.length) {
      this.#groups = this.#groups.slice(this.#first);
      this.#first = 0;
    }
    return oldest;
  }

  flushInto(writes: StateWrite[], { index, timeMs }: Pick<Moment, 'index' | 'timeMs'>): void {
    for (const key of this.removed) writes.push({ key, value: null });
    this.removed = [];
    const keys = this.#begun;
    if (keys.length === 0) return;
    this.#begun = [];
    this.#groups.push({ index, timeMs, count: keys.length });
    const value = packToKeep([FORMAT, timeMs, keys.map(fromMapKey)]);
    writes.push({ key: toCallGroupKey(this.kind, index), value });
  }
}

function decodeGroup(bytes: Uint8Array): {
  readonly timeMs: number;
  readonly keys: readonly string[];
} {
  return orCorrupt('calls', () => {
    const [format, timeMs, keys] = check.tuple(unpack(bytes), 'calls', 3);
    if (format !== FORMAT) throw corrupt(`calls of format ${String(format)}`);
    return {
      timeMs: check.count(timeMs, 'timeMs'),
      keys: check.list(keys, 'keys').map((key) => toMapKey(check.bytes(key, 'key'))),
    };
  });
}

function loadForgottenThrough(store: StateStore): number {
  const bytes = store.get(CALLS_KEY);
  if (bytes === undefined) return 0;
  return orCorrupt('calls', () => {
    const [, forgottenThrough] = check.tuple(unpack(bytes), 'calls', 2);
    return check.count(forgottenThrough, 'forgottenThrough');
  });
}

function refuse(error: BalsaError): CallVerdict {
  return { type: 'refuse', error };
}

/** Not applied by this attempt; whether an earlier one was is not known any more. @param index that of the entry */
function expired(index: number): BalsaError {
  return new BalsaError(
    'CALL_EXPIRED',
    'calls as old as this one are no longer remembered: it was not applied by this attempt, but may have been before',
    { outcome: 'unknown', details: { index } },
  );
}

/** Nothing was applied by this attempt. */
export function keyReused(): BalsaError {
  return new BalsaError(
    'CALL_KEY_REUSED',
    'the idempotency key was used for a call of another procedure, or with other arguments',
    { outcome: 'not-applied' },
  );
}

function full(limit: number): BalsaError {
  return new Refusal(
    'CALL_KEYS_FULL',
    `${limit} calls under keys of their callers are remembered already (namedCallsMax)`,
    { limit },
  );
}
