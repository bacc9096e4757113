import { BalsaError } from '../base/errors.js';
import type { CallAge, Route } from '../rpc/call-protocol.js';
import type { ClientAnswer, ClientRequest, Consistency, ReadLevel } from '../rpc/protocol.js';
import type { Meta } from './pending.js';
import type { PendingRead } from './pending-read.js';
import { type Departure, ReadRequest } from './read-request.js';

/** What a call was answered. */
export interface CallAnswered {
  /** JSON. */
  readonly result: string;
  readonly revision: number;
  readonly hash: string;
  readonly repeated: boolean;
  readonly logs: readonly string[];
  readonly pending: boolean;
}

export interface CallFields {
  readonly procedure: string;
  /** JSON. */
  readonly args: string;
  readonly key: Uint8Array;
  readonly isNamed: boolean;
  /** Of an `ap` procedure: other replicas that have it on their disks first. */
  readonly peers: number;
}

/** An index that was applied somewhere, as late as possible. */
type SeenIndex = () => number;

/** What was tried under one key, in whatever way: the requests of one call share it. */
export interface Attempts {
  /** Of the first attempt; `null`: there was none. */
  bornIndex: number | null;
  /** When the first one was sent of those that may have been applied, on the monotonic clock; `null`: there was none. */
  firstMs: number | null;
  /** There was one of which nobody knows what became. */
  isUnsure: boolean;
}

export function noAttempts(): Attempts {
  return { bornIndex: null, firstMs: null, isUnsure: false };
}

/**
 * Behind `CALL_EXPIRED`: when nothing can have been applied under the key, the call may be taken for one that was born later.
 * @returns whether it may
 */
export function renew(attempts: Attempts, { details }: BalsaError): boolean {
  const { index } = details;
  const { bornIndex, isUnsure } = attempts;
  if (isUnsure || typeof index !== 'number' || bornIndex === null) return false;
  if (index - 1 <= bornIndex) return false;
  attempts.bornIndex = index - 1;
  return true;
}

/** What only somebody else can change: as with writes, it is told at once. */
const VERDICTS = new Set(['MERGED_KEYS_FULL', 'UPGRADE_PENDING']);

/**
 * A call of a procedure that may write, or what came of one for the leader. It is sent again under the same idempotency
 * key until it is answered: that is why it counts once.
 */
export abstract class WritingRequest<Answer> extends ReadRequest {
  readonly consistency: Consistency = 'linearizable';
  override readonly waitsForBetter = true;
  abstract override readonly calls: readonly [PendingRead<Answer>];
  protected readonly attempts: Attempts;

  /** @param carried bytes of what it takes along */
  constructor(attempts: Attempts, carried: number) {
    super(carried);
    this.attempts = attempts;
  }

  override lost(): void {
    this.attempts.isUnsure = true;
  }

  override isFinal(error: BalsaError): boolean {
    if (error.outcome === 'unknown' && error.code !== 'CALL_EXPIRED') this.attempts.isUnsure = true;
    if (error.code === 'CALL_EXPIRED' && !this.attempts.isUnsure) return !this.renew(error);
    return VERDICTS.has(error.code) || super.isFinal(error);
  }

  /** It is about to be sent. @returns how old it is, for replicas that must not take it for a new one */
  protected age({ nowMs, greetedMs }: Departure): CallAge | null {
    const { attempts } = this;
    if (!attempts.isUnsure || attempts.firstMs === null) {
      attempts.firstMs = nowMs;
      return null;
    }
    const { firstMs } = attempts;
    // What the request may still wait on its way is then known, too.
    if (greetedMs >= firstMs) return { ms: Math.ceil(greetedMs - firstMs), at: 'hello' };
    return { ms: Math.ceil(nowMs - firstMs), at: 'sent' };
  }

  /** Nothing was sent under its key before: it may have been born later. @returns whether it was */
  protected renew(_error: BalsaError): boolean {
    return false;
  }

  /**
   * The error with what is known of the call: whoever asked is told this. Behind an attempt of which nobody knows nothing is
   * sure any more, also not when the code has failed now: that one may still be on its way, and is run anew when it arrives.
   */
  override outcomeOf(error: BalsaError): BalsaError {
    if (this.attempts.isUnsure) return error.withOutcome('unknown');
    if (!this.sent) return error.withOutcome('not-applied');
    const isUndecided = UNDECIDED.has(error.code) || error.details.limit === 'batchBytesMax';
    return error.outcome === undefined && isUndecided ? error.withOutcome('unknown') : error;
  }
}

/** In the leader's lane. */
export class LaneRequest extends WritingRequest<CallAnswered> {
  readonly calls: readonly [PendingRead<CallAnswered>];
  readonly #fields: CallFields;
  readonly #seen: SeenIndex;

  constructor(
    fields: CallFields,
    seen: SeenIndex,
    call: PendingRead<CallAnswered>,
    attempts = noAttempts(),
  ) {
    super(attempts, fields.args.length);
    this.calls = [call];
    this.#fields = fields;
    this.#seen = seen;
  }

  encode(id: number, departure: Departure): ClientRequest {
    this.attempts.bornIndex ??= this.#seen();
    const { bornIndex } = this.attempts;
    const level = { consistency: this.consistency, bound: 0 };
    const age = this.age(departure);
    return { type: 'call', id, route: 'lane', ...level, ...this.#fields, bornIndex, age };
  }

  answer(answer: ClientAnswer, meta: Meta): null {
    return give(this.calls[0], answer, meta);
  }

  protected override renew(error: BalsaError): boolean {
    return renew(this.attempts, error);
  }
}

/** Of an `ap` procedure (or of one that only reads), at whichever replica can be reached. */
export class ApRequest extends WritingRequest<CallAnswered> {
  override readonly consistency: Consistency = 'ap-local';
  readonly calls: readonly [PendingRead<CallAnswered>];
  readonly #fields: CallFields;

  constructor(fields: CallFields, call: PendingRead<CallAnswered>) {
    super(noAttempts(), fields.args.length);
    this.calls = [call];
    this.#fields = fields;
  }

  encode(id: number, departure: Departure): ClientRequest {
    const level = { consistency: this.consistency, bound: 0 };
    const age = this.age(departure);
    return { type: 'call', id, route: 'read', ...level, ...this.#fields, bornIndex: 0, age };
  }

  answer(answer: ClientAnswer, meta: Meta): null {
    return give(this.calls[0], answer, meta);
  }
}

/** What a call that was run at some replica came to, for the leader. */
export class SubmitRequest extends WritingRequest<CallAnswered> {
  readonly calls: readonly [PendingRead<CallAnswered>];
  readonly #record: Uint8Array;

  constructor(record: Uint8Array, call: PendingRead<CallAnswered>, attempts: Attempts) {
    super(attempts, record.byteLength);
    this.calls = [call];
    this.#record = record;
  }

  encode(id: number): ClientRequest {
    return { type: 'submit', id, record: this.#record };
  }

  answer(answer: ClientAnswer, meta: Meta): null {
    return give(this.calls[0], answer, meta);
  }

  /** It says what the code that ran has read: only to run it again can help. */
  override isFinal(error: BalsaError): boolean {
    return super.isFinal(error) || error.code === 'TXN_CONFLICT';
  }
}

export interface Executed {
  readonly record: Uint8Array;
  readonly logs: readonly string[];
}

/**
 * Runs a call where it is asked, whoever leads. Which kind of procedure it is the replica says: one of mode `ap` counts as soon
 * as it has been run.
 */
export class ExecuteRequest extends WritingRequest<Executed | CallAnswered> {
  override readonly consistency = 'any';
  readonly calls: readonly [PendingRead<Executed | CallAnswered>];
  readonly #fields: CallFields;
  readonly #seen: SeenIndex;

  constructor(
    fields: CallFields,
    seen: SeenIndex,
    call: PendingRead<Executed | CallAnswered>,
    attempts: Attempts,
  ) {
    super(attempts, fields.args.length);
    this.calls = [call];
    this.#fields = fields;
    this.#seen = seen;
  }

  encode(id: number, departure: Departure): ClientRequest {
    // One born index for all attempts: an earlier one may have been applied.
    this.attempts.bornIndex ??= this.#seen();
    const { bornIndex } = this.attempts;
    const level = { consistency: 'linearizable', bound: 0 } as const;
    const age = this.age(departure);
    return { type: 'call', id, route: 'any', ...level, ...this.#fields, bornIndex, age };
  }

  /** Another replica may be asked next, and what it says is not all that is known. */
  override outcomeOf(error: BalsaError): BalsaError {
    const told = super.outcomeOf(error);
    if (told.outcome === 'unknown') this.attempts.isUnsure = true;
    return told;
  }

  answer(answer: ClientAnswer, meta: Meta): null {
    // One that only reads is answered at once.
    if (answer.type === 'call') return give(this.calls[0], answer, meta);
    if (answer.type !== 'executed') throw mismatch(answer);
    this.calls[0].succeed({ record: answer.record, logs: answer.logs }, meta);
    return null;
  }
}

/** A procedure that only reads, at one level. */
export class ReadCallRequest extends ReadRequest {
  readonly consistency: Consistency;
  readonly calls: readonly [PendingRead<CallAnswered>];
  readonly #fields: CallFields;
  readonly #bound: number;

  constructor(
    fields: CallFields,
    { consistency, bound }: ReadLevel,
    call: PendingRead<CallAnswered>,
  ) {
    super(fields.args.length);
    this.calls = [call];
    this.consistency = consistency;
    this.#fields = fields;
    this.#bound = bound;
  }

  encode(id: number): ClientRequest {
    const route: Route = 'read';
    const level = { consistency: this.consistency, bound: this.#bound };
    return { type: 'call', id, route, ...level, ...this.#fields, bornIndex: 0, age: null };
  }

  answer(answer: ClientAnswer, meta: Meta): null {
    return give(this.calls[0], answer, meta);
  }
}

function give(call: PendingRead<CallAnswered>, answer: ClientAnswer, meta: Meta): null {
  if (answer.type !== 'call') throw mismatch(answer);
  const { result, revision, hash, repeated, logs, pending } = answer;
  // An `ap` procedure is one whoever was asked to call it, and however.
  const given: Meta = pending === null ? meta : { ...meta, level: 'ap-local' };
  call.succeed({ result, revision, hash, repeated, logs, pending: pending === true }, given);
  return null;
}

/** Refusals that came before anything was looked up in the log: an earlier attempt may have got there. */
const UNDECIDED: ReadonlySet<string> = new Set([
  ...['NOT_LEADER', 'SHUTTING_DOWN', 'OVERLOADED', 'PROCEDURE_NOT_FOUND', 'UPGRADE_PENDING'],
  ...['COMPACTED', 'NO_QUORUM', 'REPLICA_BEHIND', 'TXN_CONFLICT', 'TIMEOUT', 'UNREACHABLE'],
  ...['CANCELLED', 'CLIENT_CLOSED', 'CALL_EXPIRED', 'AP_QUEUE_FULL'],
]);

function mismatch(answer: ClientAnswer): BalsaError {
  return new BalsaError('FRAME_INVALID', `an answer of type ${answer.type} to a call`);
}
