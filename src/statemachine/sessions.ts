import { assert } from '../base/assert.js';
import { toMapKey } from '../base/bytes.js';
import { BalsaError } from '../base/errors.js';
import { corrupt } from './corrupt.js';
import { SESSIONS_FROM, SESSIONS_TO, toAnswerKey, toSessionKey } from './layout.js';
import { loadRecords } from './load-records.js';
import {
  compareMoments,
  decodeSessionRecord,
  encodeSessionRecord,
  type Moment,
  type SessionRecord,
} from './session-record.js';
import type { StateStore, StateWrite } from './state-store.js';

/**
 * How much is remembered. These numbers decide what is applied, so they are part of what the log
 * means: the same at every replica, not configurable. Tests set others.
 */
export interface SessionBounds {
  readonly sessionsMax: number;
  readonly sessionIdleMsMax: number;
  /** Answers kept for one session, if it never acknowledges. */
  readonly batchesPerSessionMax: number;
}

/** Idle sessions forgotten with one entry at most: after a long pause the entry must not take long. */
const FORGOTTEN_PER_ENTRY_MAX = 1000;

/** A batch without its operations. */
export interface SessionBatch {
  /** Id of the session, as `toMapKey` makes it. */
  readonly id: string;
  readonly bornIndex: number;
  readonly sequence: number;
  readonly acknowledged: number;
}

/** What is to be done with a batch. */
export type Verdict =
  | { readonly type: 'apply' }
  /** It was applied before; this was the answer. */
  | { readonly type: 'repeat'; readonly results: Uint8Array }
  | { readonly type: 'refuse'; readonly error: BalsaError };

/**
 * The sessions, and the answers to those of their batches that were not acknowledged: what makes
 * every batch count once, however often it is sent (thesis §6.3). All of it is a function of the log.
 *
 * Changes are staged, seen by what follows, and reach the store with {@link Sessions.flushInto}.
 */
export class Sessions {
  readonly #store: StateStore;
  readonly #bounds: SessionBounds;
  /** By id (`toMapKey`), in the order of their last activity: the first was idle longest. */
  readonly #sessions: Map<string, SessionRecord>;
  #forgottenThrough: number;
  /** No session can be idle too long before: saves looking for the first one with each entry. */
  #noneIdleThroughMs = 0;
  readonly #changed = new Set<string>();
  /** By store key (`toMapKey`), so that each is written once. */
  readonly #stagedAnswers = new Map<string, StateWrite>();

  private constructor(
    store: StateStore,
    bounds: SessionBounds,
    restored: {
      readonly sessions: Map<string, SessionRecord>;
      readonly forgottenThrough: number;
    },
  ) {
    this.#store = store;
    this.#bounds = bounds;
    this.#sessions = restored.sessions;
    this.#forgottenThrough = restored.forgottenThrough;
  }

  /** The sessions as the store has them. */
  static async load(
    store: StateStore,
    bounds: SessionBounds,
    forgottenThrough: number,
  ): Promise<Sessions> {
    const found = await loadRecords(
      store,
      { from: SESSIONS_FROM, to: SESSIONS_TO },
      (storeKey, bytes): [string, SessionRecord] => [
        toMapKey(storeKey.subarray(1)),
        decodeSessionRecord(bytes),
      ],
    );
    found.sort(([, a], [, b]) => compareMoments(a.lastActive, b.lastActive));
    return new Sessions(store, bounds, { sessions: new Map(found), forgottenThrough });
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** The last activity of every session that was forgotten is at or before this index. */
  get forgottenThrough(): number {
    return this.#forgottenThrough;
  }

  /** Forgets the sessions that were idle longer than allowed at `timeMs`, the longest first. */
  forgetIdle(timeMs: number): void {
    if (timeMs <= this.#noneIdleThroughMs) return;
    let count = 0;
    // Log time never goes back, so the order of activity is the order of idle time.
    for (const [id, session] of this.#sessions) {
      this.#noneIdleThroughMs = session.lastActive.timeMs + this.#bounds.sessionIdleMsMax;
      if (timeMs <= this.#noneIdleThroughMs || count === FORGOTTEN_PER_ENTRY_MAX) return;
      this.#forget(id, session);
      count += 1;
    }
  }

  /** Says what is to be done with a batch that entry `index` holds. Changes nothing. */
  judge(batch: SessionBatch, index: number): Verdict {
    const session = this.#sessions.get(batch.id);
    if (session === undefined) return this.#judgeUnknown(batch, index);
    if (batch.sequence === session.lastSequence + 1) return { type: 'apply' };
    if (batch.sequence > session.lastSequence) return refuse(gap(batch, session.lastSequence));
    if (batch.sequence <= this.#retainedAfter(session)) return refuse(answerGone(batch));
    return { type: 'repeat', results: this.#answer(batch.id, batch.sequence) };
  }

  /**
   * A session that was forgotten must never be taken for a new one. Say that its first batch was
   * applied by entry i. Then `bornIndex` < i, since an index that was applied somewhere is committed,
   * and every later entry is behind it. It was active at i, so when it was forgotten
   * `forgottenThrough` became at least i. Hence `bornIndex` < `forgottenThrough` for every forgotten
   * session, and a session with `bornIndex` >= `forgottenThrough` was never known here. (One that is
   * new but older than that is refused, too; the client makes another one and loses nothing.)
   *
   * The first step needs an honest `bornIndex`; one that is not before this entry cannot be.
   */
  #judgeUnknown(batch: SessionBatch, index: number): Verdict {
    const mayBeForgotten = batch.bornIndex < this.#forgottenThrough;
    if (mayBeForgotten || batch.bornIndex >= index) return refuse(expired(batch));
    return batch.sequence === 1 ? { type: 'apply' } : refuse(gap(batch, 0));
  }

  /** Keeps the answer of a batch that was judged `apply` and has been applied. */
  recordApplied(batch: SessionBatch, results: Uint8Array, now: Moment): void {
    const session = this.#sessions.get(batch.id) ?? this.#create(batch, now);
    assert(batch.sequence === session.lastSequence + 1, 'batches of a session come in order');
    const key = toAnswerKey(batch.id, batch.sequence);
    this.#stagedAnswers.set(toMapKey(key), { key, value: results });
    this.#advance(session, { batch, lastSequence: batch.sequence, now });
  }

  /** Notes that a batch was asked again: its session is alive. */
  recordRepeated(batch: SessionBatch, now: Moment): void {
    const session = this.#sessions.get(batch.id);
    assert(session !== undefined, 'a batch is repeated in a session that is known');
    this.#advance(session, { batch, lastSequence: session.lastSequence, now });
  }

  #create(batch: SessionBatch, now: Moment): SessionRecord {
    if (this.#sessions.size >= this.#bounds.sessionsMax) {
      const oldest = this.#sessions.entries().next();
      if (!oldest.done) this.#forget(...oldest.value);
    }
    return { bornIndex: batch.bornIndex, lastSequence: 0, acknowledged: 0, lastActive: now };
  }

  /** Replaces the record, drops the answers no longer needed and makes the session the last active. */
  #advance(
    before: SessionRecord,
    change: { readonly batch: SessionBatch; readonly lastSequence: number; readonly now: Moment },
  ): void {
    const { batch, lastSequence, now } = change;
    // Who asks for a batch does not have its answer, whatever `acknowledged` says.
    const possible = Math.min(batch.acknowledged, batch.sequence - 1);
    const acknowledged = Math.max(before.acknowledged, possible);
    const { bornIndex } = before;
    const after: SessionRecord = { bornIndex, lastSequence, acknowledged, lastActive: now };
    const { id } = batch;
    this.#dropAnswers(id, this.#retainedAfter(before), this.#retainedAfter(after));
    this.#sessions.delete(id);
    this.#sessions.set(id, after);
    this.#changed.add(id);
  }

  /** Removes the session and its answers. */
  #forget(id: string, session: SessionRecord): void {
    this.#forgottenThrough = Math.max(this.#forgottenThrough, session.lastActive.index);
    this.#dropAnswers(id, this.#retainedAfter(session), session.lastSequence);
    this.#sessions.delete(id);
    this.#changed.add(id);
  }

  /** Answers of batches behind this one are kept. */
  #retainedAfter(session: SessionRecord): number {
    const bound = session.lastSequence - this.#bounds.batchesPerSessionMax;
    return Math.max(session.acknowledged, bound, 0);
  }

  #dropAnswers(id: string, after: number, through: number): void {
    for (let sequence = after + 1; sequence <= through; sequence += 1) {
      const key = toAnswerKey(id, sequence);
      this.#stagedAnswers.set(toMapKey(key), { key, value: null });
    }
  }

  #answer(id: string, sequence: number): Uint8Array {
    const key = toAnswerKey(id, sequence);
    const results = this.#stagedAnswers.get(toMapKey(key))?.value ?? this.#store.get(key);
    if (results === undefined) throw corrupt(`no answer for batch ${sequence} of a session`);
    return results;
  }

  /** Adds all that is staged to `writes`; the caller gives them to the store before anything else. */
  flushInto(writes: StateWrite[]): void {
    for (const write of this.#stagedAnswers.values()) writes.push(write);
    for (const id of this.#changed) {
      const session = this.#sessions.get(id);
      const value = session === undefined ? null : encodeSessionRecord(session);
      writes.push({ key: toSessionKey(id), value });
    }
    this.#stagedAnswers.clear();
    this.#changed.clear();
  }
}

function refuse(error: BalsaError): Verdict {
  return { type: 'refuse', error };
}

function gap(batch: SessionBatch, lastSequence: number): BalsaError {
  return new BalsaError(
    'SESSION_GAP',
    `batch ${batch.sequence} of the session came before batch ${lastSequence + 1}; it was not applied`,
    { outcome: 'not-applied', details: { sequence: batch.sequence, lastSequence } },
  );
}

/** Not applied by this attempt; if there was an earlier one, the client knows it. */
function expired(batch: SessionBatch): BalsaError {
  return new BalsaError(
    'SESSION_EXPIRED',
    `the session is not known, or no longer; batch ${batch.sequence} was not applied by this attempt`,
    { outcome: 'not-applied', details: { sequence: batch.sequence } },
  );
}

function answerGone(batch: SessionBatch): BalsaError {
  return new BalsaError(
    'SESSION_EXPIRED',
    `batch ${batch.sequence} was answered before and its answer is no longer kept`,
    { outcome: 'unknown', details: { sequence: batch.sequence } },
  );
}
