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
import { type CallAnswer, withLogs } from './calls/call-types.js';
import { notLeader } from './proposals.js';
import type { Question } from './questions.js';
import { metaOf } from './read-meta.js';
import type { Replica } from './replica.js';

type ProceduresRequest = Extract<ClientRequest, { type: 'procedures' }>;
type SubmitRequest = Extract<ClientRequest, { type: 'submit' }>;

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
    const mode = replica.calls.resolve(request.procedure)?.mode;
    if (mode === 'ap') this.#callAp(replica, request, this.#ageOf(request));
    else if (request.route === 'read' || mode === 'read') this.#read(replica, request);
    else if (request.route === 'any') this.#execute(replica, request);
    else if (replica.node.role === 'leader') this.#run(replica, request);
    else throw notLeader(replica.leader, 'not-applied');
  }

  /** It is served from the state as it is when its level is kept, however long it runs. */
  #read(replica: Replica, request: CallProcedureRequest): void {
    if (request.consistency === 'at') {
      throw new BalsaError('INVALID_ARGUMENT', 'a procedure reads the latest state of a replica');
    }
    const { clock } = this.#options;
    const ageMs = this.#ageOf(request);
    const askedMs = clock.monotonicMs();
    // While it waits for its level; when it runs it is counted there.
    const release = replica.calls.bytes.hold(Buffer.byteLength(request.args));
    if (release instanceof BalsaError) throw release;
    replica.read(request, (error) => {
      release();
      if (error !== null) {
        this.#options.refuse(request.id, error);
        return;
      }
      // What it is this replica may know only now: there was no state yet, or the one before that of a snapshot.
      if (replica.calls.resolve(request.procedure)?.mode === 'ap') {
        const age = ageMs === null ? null : ageMs + clock.monotonicMs() - askedMs;
        this.#refusing(request.id, () => this.#callAp(replica, request, age));
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
  #callAp(replica: Replica, request: CallProcedureRequest, ageMs: number | null): void {
    // Who asks for a read at some level repeats it as one, and takes a failure for one of nothing.
    if (request.route === 'read' && request.consistency !== 'ap-local') {
      const message = `${request.procedure} is of mode ap: it has an effect, and is called at the level ap-local or at none`;
      throw new BalsaError('INVALID_ARGUMENT', message, { outcome: 'not-applied' });
    }
    const durability = { peers: request.peers };
    void replica.calls.callAp({ ageMs, ...request }, durability, (answer) =>
      this.#answer(request.id, replica.meta(), answer),
    );
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
      if (executed instanceof BalsaError) this.#options.refuse(id, executed);
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

  #answer(id: number, meta: AnswerMeta, answer: CallAnswer): void {
    if (!answer.ok) {
      this.#options.refuse(id, withLogs(answer.error, answer.logs));
      return;
    }
    const { result, revision, hash, repeated, logs, pending = null } = answer;
    this.#options.answer({
      ...{ type: 'call', id, meta, result, revision, hash, repeated, logs, pending },
    });
  }
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
