import { CALL_KEY_BYTES_MAX } from '../base/call.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { DeclaredProcedure, Mode } from '../base/operation.js';
import { checkProcedureName } from '../base/procedure-name.js';
import type { ProcedureInfo, ProceduresTopic } from '../rpc/call-protocol.js';
import { beforeWriting } from './before-writing.js';
import { type ConsistencyOption, checkConsistency, toReadTarget } from './consistency.js';
import type { Engine } from './engine.js';
import { invalid, keyBytes } from './invalid.js';
import type { CallOptions } from './options.js';
import type { Meta } from './pending.js';
import { PendingRead } from './pending-read.js';
import {
  ApRequest,
  type Attempts,
  type CallAnswered,
  type CallFields,
  type Executed,
  ExecuteRequest,
  LaneRequest,
  noAttempts,
  ReadCallRequest,
  renew,
  SubmitRequest,
  type WritingRequest,
} from './procedure-request.js';
import type { ReadRequest } from './read-request.js';
import type { ReadRouter } from './read-router.js';
import type { Scope } from './scope.js';
import { askStore, ProceduresRequest } from './store-request.js';

/** A procedure with the types of its arguments and of its result; `references` of `balsa/procedures` makes them. */
export interface ProcedureReference<Args, Result, Declared extends Mode = Mode> {
  /** As it was deployed; `transfer@staging` for another alias than `prod`. */
  readonly name: string;
  readonly types?: { readonly args: Args; readonly result: Result; readonly mode: Declared };
}

/** Options of {@link Client.call}. */
export interface ProcedureCallOptions extends CallOptions {
  /**
   * Of all calls with the same key one is applied, and all are answered its result, for a day (`namedCallKeptMs`). Default: a
   * key of this call alone, under which it is tried again until its time is up.
   */
  readonly idempotencyKey?: string | Uint8Array | undefined;
  /**
   * Where the code runs. `lane` (default): at the leader, one call after the other, so that no call is in the way of
   * another. `any`: at the replica at hand, while others run: for code that takes long; it is run again when what it has
   * read was changed meanwhile, after two times in the lane. Not together with `consistency`.
   */
  readonly route?: 'lane' | 'any' | undefined;
  /**
   * For an `ap` procedure: where what it has changed must lie before it is answered. `local` (default): on the disk of the replica
   * that ran it. `{ peers: k }`: on those of so many others, too; when they cannot be reached in time, the call fails with
   * `TIMEOUT`, and counts all the same: asked again under its key it is answered as soon as they have it. Peers are
   * for `consistency: 'ap-local'` only.
   */
  readonly durability?: 'local' | { readonly peers: number } | undefined;
  /**
   * `ap-local`: at whichever replica can be reached, also cut off from the others: for `ap` procedures, and for those that only
   * read to see what those have changed there. For a procedure that only reads: how fresh, see {@link ConsistencyOption}. It is served by the replica that reads are.
   */
  readonly consistency?: ConsistencyOption | undefined;
}

/** Those that a procedure that is declared so can have, as far as it is known how it is. */
export type OptionsOf<Declared extends Mode> = [Declared] extends ['read']
  ? ProcedureCallOptions & { readonly route?: undefined; readonly durability?: undefined }
  : [Declared] extends ['cp']
    ? ProcedureCallOptions & { readonly durability?: undefined }
    : ProcedureCallOptions;

/** Arguments that may be left out. */
export type IfOptional<Args> = undefined extends Args ? unknown : never;

export interface CallResult<Result> {
  readonly result: Result;
  /** Of its writes; of a procedure that only reads: that it has read. */
  readonly revision: number;
  /** It had been applied before, under the same idempotency key: this is what it was answered then. */
  readonly repeated: boolean;
  /** Hash of the code that ran; empty when it had run before. */
  readonly hash: string;
  /** Of an `ap` procedure: it is durable, and not merged into the log yet. */
  readonly pending: boolean;
  /** What it logged. */
  readonly logs: readonly string[];
  readonly meta: Meta;
}

/** Code as `balsa deploy` makes it of a file. */
export interface Deployable {
  /** SHA-256 of the code, hex. */
  readonly hash: string;
  readonly code: string;
  readonly procedures: readonly DeclaredProcedure[];
}

export interface LogLine {
  readonly timeMs: number;
  readonly procedure: string;
  readonly line: string;
  readonly isError: boolean;
}

export interface ProcedureStats {
  readonly procedure: string;
  readonly calls: number;
  readonly failures: number;
  readonly meanMs: number;
  readonly maxMs: number;
}

/** Of those that only read, and were called at a level. */
type Level = { readonly consistency: ConsistencyOption };

const NO_OPTIONS = {};
const DEFAULT_ALIAS = 'prod';
/** Attempts of `route: 'any'` that may be overtaken by other writes. */
const ANY_ATTEMPTS = 2;

/** The procedures of the cluster: what is deployed, and under which names. `db.procedures`. */
export class Procedures {
  readonly #store: Scope<never, unknown, 'text' | 'bytes'>;

  /** @internal */
  constructor(store: Scope<never, unknown, 'text' | 'bytes'>) {
    this.#store = store;
  }

  /**
   * Brings code, and lets the alias of each of its procedures stand for it. What the alias stood for stays, to go back to.
   *
   * @throws BalsaError `PROCEDURE_LIMIT` (`bundleBytesMax`), `PROCEDURES_TOO_MANY`, `UPGRADE_PENDING`, and see {@link Client}
   */
  async deploy(
    { hash, code, procedures }: Deployable,
    options: CallOptions & { readonly alias?: string | undefined } = NO_OPTIONS,
  ): Promise<void> {
    const { alias = DEFAULT_ALIAS } = options;
    const bytes = Buffer.from(code, 'utf8');
    await this.#store.write(
      options,
      'done',
      () => ({ type: 'deploy', hash, code: bytes, alias, procedures }),
      () => null,
    );
  }

  /** What there is, in the order of names. @throws BalsaError see {@link Client} */
  async list(options: CallOptions = NO_OPTIONS): Promise<readonly ProcedureInfo[]> {
    return (await this.#ask(options, 'list')) as readonly ProcedureInfo[];
  }

  /** What procedures have logged lately at the replica that the client is connected to. @throws BalsaError see {@link Client} */
  async logs(options: CallOptions = NO_OPTIONS): Promise<readonly LogLine[]> {
    return (await this.#ask(options, 'logs')) as readonly LogLine[];
  }

  /** How calls went at the replica that the client is connected to, since it was started. @throws BalsaError see {@link Client} */
  async stats(options: CallOptions = NO_OPTIONS): Promise<readonly ProcedureStats[]> {
    return (await this.#ask(options, 'stats')) as readonly ProcedureStats[];
  }

  /**
   * Lets a name stand for code that it stood for before.
   *
   * @param reference `transfer`, `transfer@staging`
   * @param options `to`: the hash of the code, or the beginning of it. Default: what it stood for last
   * @returns the hash that it stands for now
   * @throws BalsaError `PROCEDURE_NOT_FOUND`, `CONDITION_FAILED` (somebody was quicker), and see {@link Client}
   */
  async rollback(
    reference: string,
    options: CallOptions & { readonly to?: string | undefined } = NO_OPTIONS,
  ): Promise<string> {
    const [name, alias] = splitReference(reference);
    const known = (await beforeWriting(this.list(options))).find(
      (one) => one.name === name && one.alias === alias,
    );
    if (known === undefined) throw notFound(`there is no procedure ${name}@${alias}`);
    const [current, ...older] = known.versions;
    const { to } = options;
    const target = to === undefined ? older[0] : older.find(({ hash }) => hash.startsWith(to));
    if (target === undefined) {
      const what = to === undefined ? 'nothing else' : `nothing with the hash ${to}`;
      throw notFound(`${name}@${alias} has stood for ${what} before`);
    }
    await this.#store.write(
      options,
      'done',
      () => ({
        type: 'alias-set',
        ...{ name, alias, hash: target.hash },
        expected: current?.hash ?? null,
      }),
      () => null,
    );
    return target.hash;
  }

  /**
   * The name stands for nothing any more.
   *
   * @throws BalsaError `PROCEDURE_NOT_FOUND`, and see {@link Client}
   */
  async remove(reference: string, options: CallOptions = NO_OPTIONS): Promise<void> {
    const [name, alias] = splitReference(reference);
    await this.#store.write(
      options,
      'done',
      () => ({ type: 'alias-remove', name, alias }),
      () => null,
    );
  }

  async #ask(options: CallOptions, about: ProceduresTopic): Promise<object> {
    const { answer } = await askStore<object>(
      this.#store.engine,
      options,
      (call) => new ProceduresRequest(about, call),
    );
    return answer;
  }
}

/** Calls procedures for a client. */
export class Caller {
  readonly #engine: Engine;
  readonly #reads: ReadRouter;

  constructor(engine: Engine, reads: ReadRouter) {
    this.#engine = engine;
    this.#reads = reads;
  }

  async call(
    procedure: string | ProcedureReference<unknown, unknown>,
    args: unknown,
    options: ProcedureCallOptions,
  ): Promise<CallResult<unknown>> {
    const reference = typeof procedure === 'string' ? procedure : procedure.name;
    if (typeof reference !== 'string' || reference === '') {
      throw invalid('a procedure is called by its name, or by a reference that has one');
    }
    const peers = peersOf(options);
    const json = toJson(args);
    checkArgs(json, Math.floor(this.#engine.limits.frameBytesMax / 2));
    const fields = { procedure: reference, args: json, ...this.#keyOf(options), peers };
    const { consistency } = options;
    checkTogether(options, peers);
    if (consistency === 'ap-local')
      return toResult(await this.#write(options, (call) => new ApRequest(fields, call)));
    if (consistency !== undefined)
      return toResult(await this.#read(fields, { ...options, consistency }));
    if (options.route === 'any') return toResult(await this.#anywhere(fields, options));
    return toResult(await this.#inLane(fields, options));
  }

  /** For calls that are made now. */
  readonly #born = (): number => this.#engine.seen.bornIndex;

  #keyOf({ idempotencyKey }: ProcedureCallOptions): Pick<CallFields, 'key' | 'isNamed'> {
    if (idempotencyKey === undefined) {
      return { key: this.#engine.env.newSessionId(), isNamed: false };
    }
    const bytes = keyBytes('an idempotency key', idempotencyKey);
    if (bytes.byteLength > 0 && bytes.byteLength <= CALL_KEY_BYTES_MAX) {
      return { key: bytes, isNamed: true };
    }
    throw invalid(
      `an idempotency key has 1 to ${CALL_KEY_BYTES_MAX} bytes, found ${bytes.byteLength}`,
    );
  }

  #read(fields: CallFields, options: CallOptions & Level): Promise<Answered> {
    return new Promise((resolve, reject) => {
      const { consistency } = options;
      checkConsistency(consistency);
      const { revision, ...level } = toReadTarget(consistency, undefined, this.#engine.seen);
      if (revision !== null) throw invalid('a procedure reads the latest state of a replica');
      const limits = this.#engine.callLimits(options);
      this.#reads.ask<CallAnswered>(
        level.consistency,
        (call) => new ReadCallRequest(fields, level, call),
        { limits, deliver: (answer, meta) => resolve({ answer, meta }), reject },
      );
    });
  }

  #inLane(fields: CallFields, options: CallOptions, attempts = noAttempts()): Promise<Answered> {
    return this.#write(options, (call) => new LaneRequest(fields, this.#born, call, attempts));
  }

  async #anywhere(fields: CallFields, options: CallOptions): Promise<Answered> {
    const attempts = noAttempts();
    try {
      return await this.#ranAnywhere(fields, options, attempts);
    } catch (cause) {
      // Also what ends the call between two attempts.
      const error = asBalsaError(cause);
      throw attempts.isUnsure ? error.withOutcome('unknown') : error;
    }
  }

  async #ranAnywhere(
    fields: CallFields,
    options: CallOptions,
    attempts: Attempts,
  ): Promise<Answered> {
    const { timeoutMs = this.#engine.settings.timeoutMs } = options;
    const { clock } = this.#engine.env;
    const untilMs = timeoutMs === 0 ? Number.POSITIVE_INFINITY : clock.monotonicMs() + timeoutMs;
    const left = (): CallOptions => leftOf(options, untilMs, clock.monotonicMs());
    for (let attempt = 0; attempt < ANY_ATTEMPTS; attempt += 1) {
      const { answer, meta } = await this.#execute(fields, left(), attempts);
      if (!('record' in answer)) return { answer, meta };
      try {
        const submitted = await this.#write(
          left(),
          (call) => new SubmitRequest(answer.record, call, attempts),
        );
        return { ...submitted, answer: { ...submitted.answer, logs: answer.logs } };
      } catch (cause) {
        if (!(cause instanceof BalsaError)) throw cause;
        // What it was too old for is in the record: it is made anew.
        const isRenewed = cause.code === 'CALL_EXPIRED' && renew(attempts, cause);
        if (cause.code !== 'TXN_CONFLICT' && !isRenewed) throw cause;
        if (cause.code === 'TXN_CONFLICT' && cause.outcome === 'unknown') attempts.isUnsure = true;
      }
    }
    return this.#inLane(fields, left(), attempts);
  }

  #execute(
    fields: CallFields,
    options: CallOptions,
    attempts: Attempts,
  ): Promise<{ readonly answer: Executed | CallAnswered; readonly meta: Meta }> {
    return new Promise((resolve, reject) => {
      const limits = this.#engine.callLimits(options);
      this.#reads.ask<Executed | CallAnswered>(
        'any',
        (call) => new ExecuteRequest(fields, this.#born, call, attempts),
        { limits, deliver: (answer, meta) => resolve({ answer, meta }), reject },
      );
    });
  }

  #write(
    options: CallOptions,
    toRequest: (call: PendingRead<CallAnswered>) => WritingRequest<CallAnswered>,
  ): Promise<Answered> {
    return new Promise((resolve, reject) => {
      const limits = this.#engine.callLimits(options);
      const call = new PendingRead<CallAnswered>(
        limits,
        (answer, meta) => resolve({ answer, meta }),
        (error) => reject(request.outcomeOf(error)),
      );
      const request = toRequest(call);
      try {
        this.#engine.ask(request as ReadRequest, call, limits);
      } catch (cause) {
        throw request.outcomeOf(asBalsaError(cause));
      }
    });
  }
}

interface Answered {
  readonly answer: CallAnswered;
  readonly meta: Meta;
}

function toResult({ answer, meta }: Answered): CallResult<unknown> {
  const { result, ...rest } = answer;
  return { result: JSON.parse(result) as unknown, ...rest, meta };
}

const PEERS_MAX = 100;

/** @throws BalsaError `INVALID_ARGUMENT` */
function peersOf({ durability = 'local' }: ProcedureCallOptions): number {
  if (durability === 'local') return 0;
  const peers = (durability as { peers: number } | null)?.peers ?? Number.NaN;
  if (Number.isInteger(peers) && peers >= 0 && peers <= PEERS_MAX) return peers;
  throw invalid(
    `durability is 'local' or { peers: 0 to ${PEERS_MAX} }, found ${JSON.stringify(durability)}`,
  );
}

/**
 * What would be left out of a call is refused: a level says where it runs, and only an `ap` procedure waits for copies.
 * @throws BalsaError `INVALID_ARGUMENT`
 */
function checkTogether({ consistency, route }: ProcedureCallOptions, peers: number): void {
  if (route !== undefined && route !== 'lane' && route !== 'any') {
    throw invalid(`route is 'lane' or 'any', found ${JSON.stringify(route)}`);
  }
  if (consistency !== undefined && route !== undefined) {
    throw invalid('a call has a route or a consistency, not both: a level says where it runs');
  }
  if (peers > 0 && consistency !== 'ap-local') {
    throw invalid(
      "durability of other replicas is for ap procedures, which are called with consistency 'ap-local'",
    );
  }
}

function leftOf(options: CallOptions, untilMs: number, nowMs: number): CallOptions {
  if (untilMs === Number.POSITIVE_INFINITY) return options;
  return { ...options, timeoutMs: Math.max(1, untilMs - nowMs) };
}

/** @throws BalsaError `INVALID_ARGUMENT` */
function toJson(args: unknown): string {
  if (args === undefined) return 'null';
  try {
    const text = JSON.stringify(args) as string | undefined;
    if (text !== undefined) return text;
  } catch (cause) {
    throw new BalsaError(
      'INVALID_ARGUMENT',
      `the arguments are not JSON: ${(cause as Error).message}`,
      {
        cause,
        outcome: 'not-applied',
      },
    );
  }
  throw invalid('the arguments are not JSON');
}

/**
 * What no frame holds would cost the connection, again and again, and all others what they ask over it.
 * @throws BalsaError `PROCEDURE_LIMIT`
 */
function checkArgs(json: string, max: number): void {
  const bytes = Buffer.byteLength(json);
  if (bytes <= max) return;
  throw new BalsaError(
    'PROCEDURE_LIMIT',
    `the arguments have ${bytes} bytes; the limit is ${max} (half of frameBytesMax)`,
    { outcome: 'not-applied', details: { limit: 'frameBytesMax', max } },
  );
}

/** @throws BalsaError `INVALID_ARGUMENT` */
function splitReference(reference: string): readonly [name: string, alias: string] {
  const at = reference.indexOf('@');
  const name = at === -1 ? reference : reference.slice(0, at);
  const alias = at === -1 ? DEFAULT_ALIAS : reference.slice(at + 1);
  checkProcedureName('name', name);
  checkProcedureName('alias', alias);
  return [name, alias];
}

function notFound(message: string): BalsaError {
  return new BalsaError('PROCEDURE_NOT_FOUND', message, { outcome: 'not-applied' });
}
