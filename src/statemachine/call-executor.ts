import { equalBytes, toMapKey } from '../base/bytes.js';
import {
  type CallRecord,
  eventWrites,
  type KeyDefault,
  type KeyUpdate,
  pendingPlace,
  type RangeRead,
  updatedNumber,
} from '../base/call.js';
import { packCallOutcome } from '../base/call-codec.js';
import { AP_PASTS, CALLS_ACROSS_MODES } from '../base/command-versions.js';
import { BalsaError, isErrorCode } from '../base/errors.js';
import type { TxnStep } from '../base/operation.js';
import { type CallKeys, type CallVerdict, keyReused } from './call-keys.js';
import type { Executor } from './executor.js';
import { isLive, type Keyspace, type LiveTarget } from './keyspace.js';
import { type Merges, mergesFull } from './merges.js';
import type { Procedures } from './procedures.js';
import { Refusal } from './refusal.js';
import type { BatchAnswer } from './types.js';

export interface CallExecutorParts {
  readonly keyspace: Keyspace;
  readonly executor: Executor;
  readonly callKeys: CallKeys;
  readonly merges: Merges;
  readonly procedures: Procedures;
}

/** The entry that calls came in. */
export interface CallEntry {
  readonly index: number;
  /** See `Command`. */
  readonly wallMs: number;
  /** See `command-versions`. */
  readonly version: number;
}

/** Of a call whose writes are not there. */
const NOT_APPLIED = -1;

const NO_STEPS: readonly TxnStep[] = [];

/**
 * Decides what becomes of the calls of one log entry, one after the other: a call is applied when all that it read still is
 * as it was, key by key and range by range (Kung and Robinson 1981, "On Optimistic Methods for Concurrency Control",
 * backward validation), and then all of its writes together, at one revision. The verdict depends on the log alone.
 */
export class CallExecutor {
  readonly #parts: CallExecutorParts;
  /** Of each call of the entry so far: the revision of its writes, or that it was not applied here. */
  #revisions: number[] = [];
  /** Which call of the entry has written at a revision. */
  readonly #writers = new Map<number, number>();

  constructor(parts: CallExecutorParts) {
    this.#parts = parts;
  }

  beginEntry(): void {
    this.#revisions = [];
    this.#writers.clear();
  }

  apply(call: CallRecord | BalsaError, entry: CallEntry): BatchAnswer {
    const place = this.#revisions.length;
    this.#revisions.push(NOT_APPLIED);
    if (call instanceof BalsaError) return { ok: false, error: call };
    const { callKeys, merges } = this.#parts;
    const verdict = this.#judge(call, entry);
    if (verdict.type === 'refuse') return { ok: false, error: verdict.error };
    if (verdict.type === 'repeat') return { ok: true, results: verdict.outcome, repeated: true };
    try {
      const before = this.#parts.keyspace.revision;
      const revision = this.#applyNew(call);
      if (revision > before) this.#writers.set(revision, place);
      if (call.end.ok) {
        const { result } = call.end;
        const results = packCallOutcome({ result, revision });
        callKeys.recordApplied(call, results);
        if (this.#mayBeMerged(call, entry)) {
          merges.recordApplied(call, { result, revision }, entry.wallMs);
        }
        this.#revisions[place] = revision;
        return { ok: true, results, repeated: false };
      }
      return { ok: false, error: failureOf(call.end) };
    } catch (error) {
      if (error instanceof Refusal) return { ok: false, error };
      throw error;
    }
  }

  /** The name may have stood for a procedure of mode `ap`, and what it made then may be merged. */
  #judge(call: CallRecord, entry: CallEntry): CallVerdict {
    const { callKeys, merges } = this.#parts;
    const looks = entry.version >= CALLS_ACROSS_MODES && merges.size > 0;
    const merged = looks ? merges.find(call.key) : null;
    if (merged === null) {
      const verdict = callKeys.judge(call, entry.index);
      const isKept = verdict.type === 'apply' && call.end.ok && this.#mayBeMerged(call, entry);
      return isKept && merges.isFull ? { type: 'refuse', error: mergesFull() } : verdict;
    }
    if (!equalBytes(merged.fingerprint, call.fingerprint)) {
      return { type: 'refuse', error: keyReused() };
    }
    const { result, revision } = merged;
    return { type: 'repeat', outcome: packCallOutcome({ result, revision }) };
  }

  /** A member that is cut off may have made the same call while its name stood for code of mode `ap`, or does so yet. */
  #mayBeMerged({ procedure }: CallRecord, { version }: CallEntry): boolean {
    return version >= AP_PASTS && this.#parts.procedures.hasApPast(procedure);
  }

  /**
   * Of a call that is known by something else than its key, which is not looked at: the writes, if all that was read is as it was.
   * @throws Refusal `TXN_CONFLICT`, and what puts are refused with
   */
  commit(call: CallRecord): void {
    this.#applyNew(call);
  }

  /**
   * @returns the revision of its writes, or of the store when there are none
   * @throws Refusal `TXN_CONFLICT`, and what puts are refused with
   */
  #applyNew(call: CallRecord): number {
    const { keyspace, executor } = this.#parts;
    if (!this.#hold(call)) throw conflict();
    if (!call.end.ok) return keyspace.revision;
    const steps = this.#stepsOf(call);
    if (steps.length === 0) return keyspace.revision;
    executor.beginBatch();
    const result = executor.write({ type: 'txn', compares: [], success: steps, failure: [] });
    if (result.type === 'error') throw Refusal.of(result);
    return keyspace.revision;
  }

  // ---------------------------------------------------------------- what was read

  #hold({ procedure, hash, dependsOn, reads, ranges }: CallRecord): boolean {
    // Whoever calls behind a deployment gets the code that was deployed.
    if (this.#parts.procedures.resolve(procedure)?.hash !== hash) return false;
    // What it saw of a call that was not applied has never been.
    const isFounded = dependsOn.every((place) => (this.#revisions[place] ?? NOT_APPLIED) >= 0);
    if (!isFounded) return false;
    const { keyspace } = this.#parts;
    const isAsRead = reads.every(
      ({ key, modRevision }) =>
        revisionOf(keyspace.find(toMapKey(key), key)) === this.#revision(modRevision),
    );
    if (!isAsRead || ranges.length === 0) return isAsRead;
    const seen = new Set(dependsOn);
    return ranges.every((range) => this.#isRangeAsRead(range, seen));
  }

  /**
   * A put has a higher revision than all before it; without one, a deletion leaves fewer keys. Those of other calls of the
   * entry are looked at one by one: behind their revisions older ones that nobody has seen would hide.
   */
  #isRangeAsRead(
    { from, to, keys, modRevisionMax }: RangeRead,
    seen: ReadonlySet<number>,
  ): boolean {
    const targets = this.#liveKeys(from, to);
    if (targets?.length !== keys) return false;
    let newest = 0;
    for (const { record } of targets) {
      const { revision } = record.modified;
      const writer = this.#writers.get(revision);
      if (writer === undefined) newest = Math.max(newest, revision);
      else if (!seen.has(writer)) return false;
    }
    return newest === modRevisionMax;
  }

  /** `null`: there are more than one operation may look at, and no call has read as many. */
  #liveKeys(from: Uint8Array, to: Uint8Array | null): readonly LiveTarget[] | null {
    try {
      return this.#parts.executor.liveKeys(from, to);
    } catch (error) {
      if (error instanceof Refusal && error.code === 'RANGE_TOO_LARGE') return null;
      throw error;
    }
  }

  #revision(read: number): number {
    const place = pendingPlace(read);
    return place === null ? read : (this.#revisions[place] ?? NOT_APPLIED);
  }

  // ---------------------------------------------------------------- what is written

  #stepsOf({ writes, updates, events }: CallRecord): TxnStep[] {
    const steps = writes.map(
      ({ key, value }): TxnStep =>
        value === null ? { type: 'delete', key } : { type: 'put', key, value },
    );
    for (const step of this.#updated(updates)) steps.push(step);
    for (const { key, value } of eventWrites(events)) steps.push({ type: 'put', key, value });
    return steps;
  }

  /** What the updates make of what is there now, each key once. */
  #updated(updates: readonly (KeyUpdate | KeyDefault)[]): readonly TxnStep[] {
    if (updates.length === 0) return NO_STEPS;
    const values = new Map<string, { readonly key: Uint8Array; value: Uint8Array }>();
    for (const change of updates) {
      const { key } = change;
      const mapKey = toMapKey(key);
      const current = values.get(mapKey)?.value ?? this.#valueOf(key);
      if (change.type !== 'set-if-absent') {
        values.set(mapKey, { key, value: update(change, current) });
      } else if (current === null) {
        values.set(mapKey, { key, value: change.value });
      }
    }
    return [...values.values()].map(({ key, value }) => ({ type: 'put', key, value }));
  }

  #valueOf(key: Uint8Array): Uint8Array | null {
    const { keyspace } = this.#parts;
    const target = keyspace.target(key);
    return isLive(target) ? keyspace.valueOf(target) : null;
  }
}

function revisionOf(record: LiveTarget['record'] | null): number {
  return record === null || record.version === 0 ? 0 : record.modified.revision;
}

/** @throws Refusal `PROCEDURE_FAILED` when there is something else than a number */
function update(change: KeyUpdate, current: Uint8Array | null): Uint8Array {
  const after = updatedNumber(change, current);
  if (typeof after === 'number') return Buffer.from(JSON.stringify(after));
  const shown = JSON.stringify(Buffer.from(change.key).toString());
  throw new Refusal('PROCEDURE_FAILED', `ctx.${change.type} of ${shown}: ${after}`);
}

function conflict(): Refusal {
  return new Refusal('TXN_CONFLICT', 'what the call had read was changed by others');
}

/** How its code has failed; what it read of the state holds. */
function failureOf({ code, message, details }: CallRecord['end'] & { ok: false }): BalsaError {
  const known = isErrorCode(code) ? code : 'PROCEDURE_FAILED';
  return new BalsaError(known, message, { outcome: 'not-applied', details });
}
