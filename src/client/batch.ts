import { EXTENDED_COMMANDS, versionOf } from '../base/command-versions.js';
import { BalsaError } from '../base/errors.js';
import { packOperations, unpackResults } from '../base/operation-codec.js';
import type { Meta } from './pending.js';
import type { PendingWrite } from './pending-write.js';
import type { Load } from './write-window.js';

/** What a batch held before writes were left out of it. */
interface EarlierForm {
  readonly writes: readonly PendingWrite[];
  /** Why they were. */
  readonly error: BalsaError;
}

/**
 * Writes that travel together under one sequence of the session, and what became of each time that
 * they were sent. An attempt is *open* while it may have been applied or may yet be: until it is
 * answered as `not-applied`. One whose answer was lost stays open for good.
 */
export class Batch {
  readonly sequence: number;
  /** When it was first sent; on the monotonic clock. */
  readonly sentMs: number;
  /** Empty when the writes were refused: only the sequence is still to be used up. */
  #writes: readonly PendingWrite[];
  #operations: Buffer;
  /** As which open attempts may be applied, the longest first: the number of results says which one was. */
  readonly #earlier: EarlierForm[] = [];
  #refused = false;
  /** Open attempts before the last one. */
  #earlierOpen = 0;
  #lastOpen = false;
  /** Request id of the last attempt. */
  #lastId = 0;
  /** It has its answer, or was taken apart: answers to come are of no interest. */
  done = false;

  constructor(sequence: number, writes: readonly PendingWrite[], sentMs: number) {
    this.sequence = sequence;
    this.sentMs = sentMs;
    this.#writes = writes;
    this.#operations = packWrites(writes);
    for (const write of writes) write.sent = true;
  }

  /** All that wait for it, those that were left out as well. */
  get writes(): readonly PendingWrite[] {
    return this.#earlier[0]?.writes ?? this.#writes;
  }

  get operations(): Buffer {
    return this.#operations;
  }

  get load(): Load {
    return { operations: this.writes.length, bytes: this.#operations.byteLength };
  }

  /** It is only here to use up its sequence. */
  get refused(): boolean {
    return this.#refused;
  }

  /** Attempts other than the last one may have been applied. */
  get earlierOpen(): boolean {
    return this.#earlierOpen > 0;
  }

  /** No attempt was applied and none will be: the sequence is free again. */
  get neverApplied(): boolean {
    return this.#earlierOpen === 0 && !this.#lastOpen;
  }

  /** It is sent (again) under this request id. */
  attempt(id: number): void {
    if (this.#lastOpen) this.#earlierOpen += 1;
    this.#lastOpen = true;
    this.#lastId = id;
  }

  isLast(id: number): boolean {
    return id === this.#lastId;
  }

  /** The attempt was answered as not applied. */
  closeAttempt(id: number): void {
    if (id === this.#lastId) this.#lastOpen = false;
    else this.#earlierOpen -= 1;
  }

  /**
   * The replica will not have these writes at all. Others behind them may have been sent, so the
   * sequence must be used up all the same: by a batch without operations. Should an earlier attempt
   * have been applied after all, that one counts and the empty batch does nothing.
   */
  refuse(error: BalsaError): void {
    const outcome = this.neverApplied ? 'not-applied' : 'unknown';
    for (const write of this.writes) write.fail(error.withOutcome(outcome));
    this.#refused = true;
    this.#writes = [];
    this.#earlier.length = 0;
    this.#operations = packOperations([]);
  }

  /**
   * Not all members know the newer kinds of operations yet: those fail, the others stay under the same
   * sequence. Of a batch that may have been applied before they fail when its answer says that it was not.
   * @returns whether it held any
   */
  withdrawExtended(error: BalsaError): boolean {
    const { version } = error.details;
    const lacking = typeof version === 'number' ? version : EXTENDED_COMMANDS;
    const isKnown = ({ operation }: PendingWrite): boolean => versionOf(operation) < lacking;
    const kept = this.#writes.filter(isKnown);
    if (kept.length === this.#writes.length) return false;
    this.#earlier.push({ writes: this.#writes, error });
    this.#writes = kept;
    this.#operations = packWrites(kept);
    if (this.neverApplied) this.#failLeftOut(kept);
    return true;
  }

  /**
   * Settles the writes with the results of the replica.
   * @throws BalsaError `FRAME_INVALID` when they are not results of these writes
   */
  succeed(results: Uint8Array, meta: Meta): void {
    const list = unpackResults(results);
    const forms = [this.#writes, ...this.#earlier.map((form) => form.writes)];
    const applied = forms.find(({ length }) => length === list.length);
    // Of a refused batch an earlier attempt may have been applied: its writes have failed by now.
    if (!this.#refused && applied === undefined) {
      const { length } = this.#writes;
      throw new BalsaError('FRAME_INVALID', `${list.length} results for ${length} writes`);
    }
    this.done = true;
    const writes = applied ?? [];
    this.#failLeftOut(writes);
    for (let i = 0; i < writes.length; i += 1) {
      const result = list[i];
      if (result !== undefined) writes[i]?.succeed(result, meta);
    }
  }

  /** Takes the batch apart; its writes may be sent in another one. */
  dissolve(): readonly PendingWrite[] {
    this.done = true;
    this.#failLeftOut(this.#writes);
    for (const write of this.#writes) write.sent = false;
    return this.#writes;
  }

  /** Those that are not among `applied` never will be. */
  #failLeftOut(applied: readonly PendingWrite[]): void {
    if (this.#earlier.length === 0) return;
    const counts = new Set(applied);
    for (const { writes, error } of this.#earlier) {
      for (const write of writes) {
        if (!counts.has(write)) write.fail(error.withOutcome('not-applied'));
      }
    }
    this.#earlier.length = 0;
  }
}

function packWrites(writes: readonly PendingWrite[]): Buffer {
  return packOperations(writes.map((write) => write.operation));
}
