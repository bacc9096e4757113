import { BalsaError } from '../base/errors.js';
import type {
  AdminResult,
  ClientAnswer,
  ClientRequest,
  Consistency,
  ReplicaStatus,
} from '../rpc/protocol.js';
import type { Meta } from './pending.js';
import type {
  PageQuery,
  PendingGet,
  PendingPage,
  PendingRead,
  PendingStatus,
} from './pending-read.js';

/** When a request is sent; on the monotonic clock of the client. */
export interface Departure {
  readonly nowMs: number;
  /** When the replica that it is sent to has said hello. */
  readonly greetedMs: number;
}

/** Of one that carries next to nothing. */
const REQUEST_BYTES = 256;

/** One request of reads; it may be sent several times, since a read changes nothing. */
export abstract class ReadRequest {
  /** `null`: answered by any replica for itself. */
  abstract readonly consistency: Consistency | null;
  abstract readonly calls: readonly PendingRead<never>[];
  /** What it takes in memory, roughly. */
  readonly bytes: number;
  /** It changes something, so it is sent once only; whoever asked decides whether to ask again. */
  readonly once: boolean = false;
  /** It counts once, but what came of it is not known when its link is changed for a better one: it had better not be sent before. */
  readonly waitsForBetter: boolean = false;
  sent = false;
  failures = 0;
  lastRefusal: BalsaError | null = null;
  /** Not to be sent before. */
  notBeforeMs = Number.NEGATIVE_INFINITY;

  /** @param carried bytes of what it takes along, beside next to nothing */
  constructor(carried = 0) {
    this.bytes = REQUEST_BYTES + carried;
  }

  get needsLeader(): boolean {
    return this.consistency === 'linearizable';
  }

  /** Somebody still waits for it. */
  get live(): boolean {
    return this.calls.some((call) => !call.settled);
  }

  fail(error: BalsaError): void {
    for (const call of this.calls) call.fail(error);
  }

  /** The link was lost before its answer came. */
  lost(): void {}

  /**
   * It is not asked again. What is sent once is not sent again. A revision that does not exist at a linearizable read
   * does not exist; another replica may lag.
   */
  isFinal(error: BalsaError): boolean {
    return this.once || !error.retryable || (error.code === 'FUTURE_REVISION' && this.needsLeader);
  }

  /** The error with what is known of the request: whoever asked is told this. */
  outcomeOf(error: BalsaError): BalsaError {
    return error;
  }

  abstract encode(id: number, departure: Departure): ClientRequest;

  /**
   * Takes the answer; what it leaves unanswered comes back as a new request.
   * @throws BalsaError `FRAME_INVALID` when it is not an answer to this request
   */
  abstract answer(answer: ClientAnswer, meta: Meta): ReadRequest | null;

  /** When it was refused: parts of it of which some may be served. Empty: there are none. */
  parts(): readonly ReadRequest[] {
    return [];
  }
}

/** Several keys, read at the same level and revision. */
export class GetRequest extends ReadRequest {
  readonly consistency: Consistency;
  readonly calls: readonly PendingGet[];
  readonly #revision: number | null;
  readonly #bound: number;

  constructor(calls: readonly [PendingGet, ...PendingGet[]]) {
    super();
    this.calls = calls;
    for (const call of calls) call.sent = true;
    this.consistency = calls[0].query.consistency;
    this.#revision = calls[0].query.revision;
    // Session reads of several moments go together: the latest asks for the most.
    this.#bound = calls.reduce((bound, { query }) => Math.max(bound, query.bound), 0);
  }

  encode(id: number): ClientRequest {
    const { consistency } = this;
    const keys = this.calls.map((call) => call.query.key);
    return { type: 'get', id, consistency, bound: this.#bound, keys, revision: this.#revision };
  }

  answer(answer: ClientAnswer, meta: Meta): GetRequest | null {
    if (answer.type !== 'get') throw mismatch(answer);
    const { items } = answer;
    if (items.length === 0 || items.length > this.calls.length) {
      throw new BalsaError('FRAME_INVALID', `${items.length} items for ${this.calls.length} keys`);
    }
    for (let i = 0; i < items.length; i += 1) this.calls[i]?.found(items[i] ?? null, meta);
    // The replica stops when the answer is large: the rest is asked again.
    const [first, ...others] = this.calls.slice(items.length);
    return first === undefined ? null : new GetRequest([first, ...others]);
  }

  /** One whose token is far ahead must not keep the others from what the replica has. */
  override parts(): readonly GetRequest[] {
    const most = this.calls.filter(({ query }) => query.bound === this.#bound);
    const [first, ...others] = this.calls.filter(({ query }) => query.bound < this.#bound);
    const [ahead, ...aheadToo] = most;
    if (first === undefined || ahead === undefined) return [];
    return [new GetRequest([first, ...others]), new GetRequest([ahead, ...aheadToo])];
  }
}

export class PageRequest extends ReadRequest {
  readonly consistency: Consistency;
  readonly calls: readonly [PendingPage];
  readonly #query: PageQuery;

  constructor(query: PageQuery, call: PendingPage) {
    super();
    this.consistency = query.consistency;
    this.calls = [call];
    this.#query = query;
  }

  encode(id: number): ClientRequest {
    return { type: 'range', id, ...this.#query };
  }

  answer(answer: ClientAnswer, meta: Meta): null {
    if (answer.type !== 'range') throw mismatch(answer);
    const { items, revision, continueFrom, count } = answer;
    this.calls[0].succeed({ items, revision, continueFrom, count }, meta);
    return null;
  }
}

export class StatusRequest extends ReadRequest {
  readonly consistency = null;
  readonly calls: readonly [PendingStatus];
  readonly #atLeader: boolean;

  constructor(call: PendingStatus, { atLeader = false } = {}) {
    super();
    this.calls = [call];
    this.#atLeader = atLeader;
  }

  override get needsLeader(): boolean {
    return this.#atLeader;
  }

  encode(id: number): ClientRequest {
    return { type: 'status', id };
  }

  answer(answer: ClientAnswer, meta: Meta): null {
    if (answer.type !== 'status') throw mismatch(answer);
    this.calls[0].succeed(parseStatus(answer.status), meta);
    return null;
  }
}

/** A command of an operator. */
export class AdminRequest extends ReadRequest {
  readonly consistency = 'linearizable';
  override readonly once = true;
  readonly calls: readonly [PendingRead<AdminResult>];
  readonly #command: string;

  constructor(command: string, call: PendingRead<AdminResult>) {
    super();
    this.calls = [call];
    this.#command = command;
  }

  /** Who gives up waiting for the answer has not taken it back. */
  override outcomeOf(error: BalsaError): BalsaError {
    if (error.outcome !== undefined) return error;
    if (!this.sent) return error.withOutcome('not-applied');
    const isGivenUp = error.code === 'CANCELLED' || error.code === 'CLIENT_CLOSED';
    return isGivenUp ? error.withOutcome('unknown') : error;
  }

  encode(id: number): ClientRequest {
    return { type: 'admin', id, command: this.#command };
  }

  answer(answer: ClientAnswer, meta: Meta): null {
    if (answer.type !== 'admin') throw mismatch(answer);
    this.calls[0].succeed(parseObject(answer.result, 'result') as AdminResult, meta);
    return null;
  }
}

function parseStatus(text: string): ReplicaStatus {
  return parseObject(text, 'status') as ReplicaStatus;
}

/** Replicas of other versions may leave fields out or have more: that is not ours to refuse. */
function parseObject(text: string, what: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch (cause) {
    throw new BalsaError('FRAME_INVALID', `the ${what} is not JSON`, { cause });
  }
  throw new BalsaError('FRAME_INVALID', `the ${what} is not an object`);
}

function mismatch(answer: ClientAnswer): BalsaError {
  return new BalsaError('FRAME_INVALID', `an answer of type ${answer.type} to another question`);
}
