import { unreachable } from '../base/assert.js';
import { unpackCall } from '../base/call-codec.js';
import type { Clock } from '../base/clock.js';
import { checkNesting } from '../base/codec.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { Limits } from '../base/limits.js';
import { checkCall } from '../base/operation-check.js';
import { CALL_LIMITS } from '../compute/execution.js';
import type { ProcedureInfo } from '../rpc/call-protocol.js';
import type {
  AnswerMeta,
  CallProcedureRequest,
  ClientAnswer,
  ClientRequest,
} from '../rpc/protocol.js';
import { type CallAnswer, isOfOtherMode, withLogs } from './calls/call-types.js';
import { notLeader } from './proposals.js';
import type { Question } from './questions.js';
import { metaOf } from './read-meta.js';
import type { Replica } from './replica.js';

type ProceduresRequest = Extract<ClientRequest, { type: 'procedures' }>;
type SubmitRequest = Extract<ClientRequest, { type: 'submit' }>;

/** A call that has come. */
interface Asked {
  readonly request: CallProcedureRequest;
  readonly ageMs: number | null;
  /** When that was its age, on the monotonic clock. */
  readonly askedMs: number;
}

export interface ClientCallsOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly limits: Limits;
  readonly answer: (answer: ClientAnswer) => void;
  readonly refuse: (id: number, error: BalsaError) => void;
  /** See {@link Questions.ask}. */
  readonly ask: (question: Question) => void;
}

/** The calls of procedures of one client stream. */
export class ClientCalls {
  readonly #options: ClientCallsOptions;
  /** When the hello of the replica was sent; on the monotonic clock. */
  #greetedMs = 0;

  constructor(options: ClientCallsOptions) {
    this.#options = options;
  }

  /** The hello of the replica is about to be sent. */
  greet(): void {
    this.#greetedMs = this.#options.clock.monotonicMs();
  }

  /** @throws BalsaError `PROCEDURE_LIMIT`, `OVERLOADED`, `FRAME_INVALID`, `INVALID_ARGUMENT` and what a key is refused with */
  request(
    replica: Replica,
    request: CallProcedureRequest | SubmitRequest | ProceduresRequest,
  ): void {
    switch (request.type) {
      case 'call':
        this.#call(replica, request);
        break;
      case 'submit':
        this.#submit(replica, request);
        break;
      case 'procedures':
        this.#list(replica, request);
        break;
      default:
        unreachable(request);
    }
  }

  #call(replica: Replica, request: CallProcedureRequest): void {
    const bytes = Buffer.byteLength(request.args);
    if (bytes > CALL_LIMITS.argsBytesMax) throw argsTooLarge(bytes);
    const askedMs = this.#options.clock.monotonicMs();
    const asked = { request, ageMs: this.#ageOf(request), askedMs };
    const mode = replica.calls.resolve(request.procedure)?.mode;
    if (mode === 'ap') this.#callAp(replica, asked);
    else if (request.route === 'read' || mode === 'read') this.#read(replica, asked);
    else this.#callCp(replica, request);
  }

  /** @throws BalsaError `NOT_LEADER` */
  #callCp(replica: Replica, request: CallProcedureRequest): void {
    if (request.route === 'any') this.#execute(replica, request);
    else if (replica.node.role === 'leader') this.#run(replica, request);
    else throw notLeader(replica.leader, 'not-applied');
  }

  /** It is served from the state as it is when its level is kept, however long it runs. */
  #read(replica: Replica, asked: Asked): void {
    const { request } = asked;
    if (request.consistency === 'at') {
      throw new BalsaError('INVALID_ARGUMENT', 'a procedure reads the latest state of a replica');
    }
    // While it waits for its level; when it runs it is counted there.
    const release = replica.calls.bytes.hold(Buffer.byteLength(request.args));
    if (release instanceof BalsaError) throw release;
    replica.read(request, (error) => {
      release();
      if (error !== null) {
        this.#options.refuse(request.id, error);
        return;
      }
      // What it is this replica may know only now: it lacked the entry that deployed it, or had no state yet.
      const mode = replica.calls.resolve(request.procedure)?.mode;
      if (mode === 'ap') {
        this.#refusing(request.id, () => this.#callAp(replica, asked));
        return;
      }
      if (mode === 'cp' && request.route !== 'read') {
        this.#refusing(request.id, () => this.#callCp(replica, request));
        return;
      }
      const atLevel = metaOf(replica, request);
      let meta: AnswerMeta | null = null;
      const isLocal = request.consistency === 'ap-local';
      // Run again it reads a later state, for which the answer stands then; so does what waits for changes made here before it is run.
      const onRun = (): void => {
        meta = meta === null && !isLocal ? atLevel : replica.meta();
      };
      void replica.calls.read({ isLocal, onRun, ...request }, (answer) =>
        this.#answer(request.id, meta ?? atLevel, answer),
      );
    });
  }

  /** @throws BalsaError `INVALID_ARGUMENT` */
  #callAp(replica: Replica, { request, ageMs: ageThenMs, askedMs }: Asked): void {
    // Who asks for a read at some level repeats it as one, and takes a failure for one of nothing.
    if (request.route === 'read' && request.consistency !== 'ap-local') {
      const message = `${request.procedure} is of mode ap: it has an effect, and is called at the level ap-local or at none`;
      throw new BalsaError('INVALID_ARGUMENT', message, { outcome: 'not-applied' });
    }
    const ageMs =
      ageThenMs === null ? null : ageThenMs + (this.#options.clock.monotonicMs() - askedMs);
    const call = { ageMs, facts: () => replica.meta(), ...request };
    void replica.calls.callAp(call, { peers: request.peers }, (answer) => {
      const meta = replica.meta();
      // It may have waited for copies since: others have been heard again by then, and the state has gone on.
      const { stalenessMs, side } = (answer.ok && answer.facts) || meta;
      this.#answer(request.id, { ...meta, stalenessMs, side }, answer);
    });
  }

  #refusing(id: number, action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#options.refuse(id, asBalsaError(error));
    }
  }

  #ageOf({ age }: CallProcedureRequest): number | null {
    if (age === null || age.at === 'sent') return age?.ms ?? null;
    return age.ms + this.#options.clock.monotonicMs() - this.#greetedMs;
  }

  #run(replica: Replica, request: CallProcedureRequest): void {
    // Attempts of a call that is under way wait without their arguments.
    const { id } = request;
    replica.calls.call(request, (answer) => this.#answer(id, replica.meta(), answer));
  }

  #execute(replica: Replica, request: CallProcedureRequest): void {
    const { id } = request;
    const meta = replica.meta();
    void replica.calls.execute(request, (executed) => {
      if (executed instanceof BalsaError) this.#refuse(id, executed);
      else this.#options.answer({ type: 'executed', id, meta, ...executed });
    });
  }

  #submit(replica: Replica, { id, record }: SubmitRequest): void {
    const { limits } = this.#options;
    if (record.byteLength > limits.batchBytesMax) {
      throw new BalsaError('FRAME_INVALID', `submit record: ${record.byteLength} bytes`);
    }
    checkNesting(record);
    checkCall(unpackCall(record), limits);
    if (replica.node.role !== 'leader') throw notLeader(replica.leader, 'not-applied');
    replica.calls.submit(record, (answer) => this.#answer(id, replica.meta(), answer));
  }

  #list(replica: Replica, request: ProceduresRequest): void {
    const { id, about } = request;
    const toAnswer = async (): Promise<ClientAnswer> => {
      const info = JSON.stringify(
        about === 'list' ? listOf(replica) : replica.calls.log.about(about),
      );
      return { type: 'procedures', id, meta: metaOf(replica, request), info };
    };
    this.#options.ask({ replica, request, toAnswer });
  }

  #refuse(id: number, error: BalsaError): void {
    this.#options.refuse(id, isOfOtherMode(error) ? lookAgain(error) : error);
  }

  #answer(id: number, meta: AnswerMeta, answer: CallAnswer): void {
    if (!answer.ok) {
      this.#refuse(id, withLogs(answer.error, answer.logs));
      return;
    }
    const { result, revision, hash, repeated, logs, pending = null } = answer;
    this.#options.answer({
      ...{ type: 'call', id, meta, result, revision, hash, repeated, logs, pending },
    });
  }
}

/**
 * This replica has heard meanwhile that the name stands for another kind of procedure, which it was deployed as before. Asked again it is
 * called as what it is.
 */
function lookAgain(cause: BalsaError): BalsaError {
  const details = { retryAfterMs: 10 };
  return new BalsaError('OVERLOADED', `${cause.message}, which was not known here yet`, {
    ...{ outcome: 'not-applied', details, cause },
  });
}

function listOf(replica: Replica): readonly ProcedureInfo[] {
  return replica.machine.procedures();
}

function argsTooLarge(bytes: number): BalsaError {
  const { argsBytesMax } = CALL_LIMITS;
  return new BalsaError(
    'PROCEDURE_LIMIT',
    `the arguments have ${bytes} bytes; the limit is ${argsBytesMax} (argsBytesMax)`,
    { outcome: 'not-applied', details: { limit: 'argsBytesMax', max: argsBytesMax } },
  );
}
