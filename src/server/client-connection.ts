import { unreachable } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { checkNesting } from '../base/codec.js';
import { versionOf } from '../base/command-versions.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { Failpoints } from '../base/failpoints.js';
import type { Limits } from '../base/limits.js';
import type { KeyContent, WriteBatch } from '../base/operation.js';
import { checkKey, checkOperation, operationCost } from '../base/operation-check.js';
import { unpackOperations } from '../base/operation-codec.js';
import { unpackClientFrame } from '../rpc/client-frames.js';
import type {
  ClientAnswer,
  ClientHello,
  ClientRequest,
  MemberAddress,
  ReplicaHello,
} from '../rpc/protocol.js';
import { packReplicaFrame } from '../rpc/replica-frames.js';
import { agreeOnVersion } from '../rpc/version.js';
import { toWireError } from '../rpc/wire-error.js';
import { answerBytes } from './answer-bytes.js';
import { ClientCalls } from './client-calls.js';
import { ClientJobs } from './client-jobs.js';
import { ClientWatches } from './client-watches.js';
import type { BatchFacts } from './proposals.js';
import { type Question, Questions, tooMuch } from './questions.js';
import { checkLevel, metaOf } from './read-meta.js';
import type { Replica } from './replica.js';
import { answerStoreRequest, type StoreRequest } from './store-requests.js';
import { readError } from './waiting-reads.js';

/** What a connection needs of its replica. */
export interface ClientHost {
  readonly limits: Limits;
  readonly failpoints: Failpoints;
  /** `null` while the cluster is being formed or the replica waits to be let into one. */
  readonly replica: Replica | null;
  /** Without a replica, too, it says how it is. */
  readonly tellsStatus: boolean;
  /** Why `replica` is null, for the client. */
  notServingReason(): BalsaError;
  hello(): ReplicaHello;
  status(): string;
  /** See `Admin.run`. */
  admin(command: string): Promise<string>;
}

/** The network side of one client stream. */
export interface ClientStream {
  send(frame: Buffer): void;
  /** Bytes handed to `send` that the network has not taken. */
  readonly pendingBytes: number;
  end(): void;
}

const SESSION_ID_BYTES = 16;
/** Keys that one frame may ask for; they are looked up in one go, while all others wait. */
const LOOKUPS_PER_FRAME_MAX = 65_536;

export interface ClientConnectionOptions {
  readonly host: ClientHost;
  readonly stream: ClientStream;
  readonly clock: Pick<Clock, 'monotonicMs' | 'defer' | 'setTimer'>;
  /** Called when the first answer since the last {@link ClientConnection.flush} is there. */
  readonly onAnswers: () => void;
}

/**
 * One client stream: checks what comes in, asks the replica, gathers the answers of a turn into one
 * frame. A stream that breaks the protocol is told so and ended; nobody else notices.
 */
export class ClientConnection {
  readonly #host: ClientHost;
  readonly #stream: ClientStream;
  #hello: ClientHello | null = null;
  #answers: ClientAnswer[] = [];
  #answerBytes = 0;
  #lookupsLeft = LOOKUPS_PER_FRAME_MAX;
  #closed = false;
  readonly #onAnswers: () => void;
  readonly #watches: ClientWatches;
  readonly #calls: ClientCalls;
  readonly #jobs: ClientJobs;
  readonly #questions: Questions;

  constructor(options: ClientConnectionOptions) {
    this.#host = options.host;
    this.#stream = options.stream;
    this.#onAnswers = options.onAnswers;
    const answer = (answered: ClientAnswer): void => this.#answer(answered);
    const refuse = (id: number, error: BalsaError): void => this.#refuse(id, error);
    this.#questions = new Questions({
      ...{ clock: options.clock, lackOfRoom: () => this.#room, answer, refuse },
    });
    const ask = (question: Question): void => this.#questions.ask(question);
    this.#watches = new ClientWatches({
      ...{ limits: options.host.limits, answer },
      waitingBytes: () => this.#stream.pendingBytes + this.#answerBytes,
    });
    this.#jobs = new ClientJobs({ answer, refuse, ask });
    this.#calls = new ClientCalls({
      ...{ clock: options.clock, limits: options.host.limits, answer, refuse, ask },
    });
  }

  get welcomed(): boolean {
    return this.#hello !== null || this.#closed;
  }

  get clientName(): string {
    return this.#hello?.clientName ?? 'unknown';
  }

  /** A frame has come. Never throws: a bad one ends this stream. */
  receive(bytes: Uint8Array): void {
    if (this.#closed) return;
    try {
      const frame = unpackClientFrame(bytes);
      if (frame.type === 'hello') this.#welcome(frame.hello);
      else if (frame.type === 'probe') this.#probed();
      else this.#requests(frame.requests);
    } catch (error) {
      this.end(asBalsaError(error));
    }
  }

  /** Sends the answers given since the last time. */
  flush(): void {
    if (this.#closed || this.#answers.length === 0) return;
    const answers = this.#answers;
    this.#answers = [];
    this.#answerBytes = 0;
    this.#host.failpoints.hit('reply.before-send');
    this.#stream.send(packReplicaFrame({ type: 'answers', answers }));
    this.#checkIsRead();
  }

  #checkIsRead(): void {
    if (this.#stream.pendingBytes > this.#host.limits.pendingAnswerBytesMax) {
      const limit = this.#host.limits.pendingAnswerBytesMax;
      const message = `${limit} bytes of answers wait (pendingAnswerBytesMax) and the client does not read them`;
      this.end(new BalsaError('OVERLOADED', message));
    }
  }

  /** Tells the client that the leader has changed. */
  leaderChanged(leader: string | null, term: number): void {
    if (this.#closed || this.#hello === null) return;
    this.flush();
    this.#stream.send(packReplicaFrame({ type: 'leader', leader, term }));
  }

  /** Tells the client who the members are now. */
  membersChanged(members: readonly MemberAddress[]): void {
    if (this.#closed || this.#hello === null) return;
    this.flush();
    this.#stream.send(packReplicaFrame({ type: 'members', members }));
  }

  /** There was no room for a part of a large frame. */
  refused(): void {
    const max = this.#host.limits.partialFrameBytesMax;
    const what = `${max} bytes of large requests have come in part already (partialFrameBytesMax)`;
    this.end(tooMuch(what));
  }

  /** Ends the stream and says why. */
  end(error: BalsaError): void {
    if (this.#closed) return;
    this.flush();
    this.closed();
    this.#stream.send(packReplicaFrame({ type: 'end', error: toWireError(error) }));
    this.#stream.end();
  }

  /** The network has closed the stream: answers to come have nowhere to go. */
  closed(): void {
    this.#closed = true;
    this.#answers = [];
    this.#questions.close();
    this.#watches.cancelAll();
  }

  #welcome(hello: ClientHello): void {
    if (this.#hello !== null) throw new BalsaError('FRAME_INVALID', 'a second hello on one stream');
    agreeOnVersion(hello, 'the client');
    if (hello.sessionId.byteLength !== SESSION_ID_BYTES) {
      throw new BalsaError('FRAME_INVALID', `hello sessionId: expected ${SESSION_ID_BYTES} bytes`);
    }
    const { replica, tellsStatus } = this.#host;
    if (replica === null && !tellsStatus) throw this.#host.notServingReason();
    const own = this.#host.hello();
    if (hello.clusterId !== null && hello.clusterId !== own.clusterId) {
      // It may come to be of that one.
      if (own.clusterId === '') throw this.#host.notServingReason();
      throw new BalsaError(
        'CLUSTER_MISMATCH',
        `the client asks for cluster ${hello.clusterId}, this replica belongs to ${own.clusterId}`,
      );
    }
    this.#hello = hello;
    this.#calls.greet();
    this.#stream.send(packReplicaFrame({ type: 'hello', hello: own }));
  }

  #probed(): void {
    if (this.#hello === null) throw new BalsaError('FRAME_INVALID', 'a probe before the hello');
    this.#stream.send(packReplicaFrame({ type: 'probe-answer' }));
    this.#checkIsRead();
  }

  #requests(requests: readonly ClientRequest[]): void {
    this.#lookupsLeft = LOOKUPS_PER_FRAME_MAX;
    for (const request of requests) {
      // Its answers may have ended it.
      if (this.#closed) return;
      this.#request(request);
    }
  }

  #request(request: ClientRequest): void {
    if (this.#hello === null) throw new BalsaError('FRAME_INVALID', 'a request before the hello');
    try {
      this.#dispatch(request, this.#hello.sessionId);
    } catch (error) {
      const known = asBalsaError(error);
      if (known.code === 'INTERNAL' || known.code === 'INVARIANT') throw known;
      this.#refuse(request.id, known);
    }
  }

  #dispatch(request: ClientRequest, sessionId: Uint8Array): void {
    switch (request.type) {
      case 'write':
        this.#write(request, sessionId);
        break;
      case 'get':
        this.#get(request);
        break;
      case 'range':
        this.#range(request);
        break;
      case 'watch':
        this.#watches.begin(this.#replica(), request);
        break;
      case 'watch-cancel':
        this.#watches.cancel(request.watch);
        break;
      case 'leases':
      case 'store':
        this.#store(request);
        break;
      case 'call':
      case 'submit':
      case 'procedures':
        this.#calls.request(this.#replica(), request);
        break;
      case 'jobs':
      case 'work':
        this.#jobs.request(this.#replica(), request);
        break;
      case 'status':
        this.#answer({ type: 'status', id: request.id, status: this.#host.status() });
        break;
      case 'admin':
        this.#admin(request);
        break;
      default:
        unreachable(request);
    }
  }

  #admin({ id, command }: Extract<ClientRequest, { type: 'admin' }>): void {
    this.#host.admin(command).then(
      (result) => this.#answer({ type: 'admin', id, result }),
      (cause: unknown) => this.#refuse(id, asBalsaError(cause)),
    );
  }

  #write(request: Extract<ClientRequest, { type: 'write' }>, sessionId: Uint8Array): void {
    const { id, bornIndex, sequence, acknowledged, operations } = request;
    const facts = this.#checkWrite(request);
    const batch: WriteBatch = { sessionId, bornIndex, sequence, acknowledged, operations };
    const replica = this.#replica();
    replica.write(batch, facts, (answer) => {
      if (!answer.ok) this.#refuse(id, answer.error);
      else this.#answer({ type: 'write', id, meta: replica.meta(), results: answer.results });
    });
  }

  /** What gets into the log cannot be refused later, so all is checked here. */
  #checkWrite(request: Extract<ClientRequest, { type: 'write' }>): BatchFacts {
    const { limits } = this.#host;
    if (request.sequence === 0)
      throw new BalsaError('FRAME_INVALID', 'write sequence: counts from 1');
    if (request.acknowledged >= request.sequence) {
      throw new BalsaError('FRAME_INVALID', 'write acknowledged: must be below the sequence');
    }
    const bytes = request.operations.byteLength;
    if (bytes > limits.batchBytesMax) {
      throw tooLarge(`${bytes} bytes`, 'batchBytesMax', limits.batchBytesMax);
    }
    checkNesting(request.operations);
    const operations = unpackOperations(request.operations);
    if (operations.length > limits.operationsPerBatchMax) {
      throw tooLarge(
        `${operations.length} operations`,
        'operationsPerBatchMax',
        limits.operationsPerBatchMax,
      );
    }
    const facts = { operations: 0, version: 0 };
    for (const operation of operations) {
      checkOperation(operation, limits);
      facts.operations += operationCost(operation);
      facts.version = Math.max(facts.version, versionOf(operation));
    }
    return facts;
  }

  #get(request: Extract<ClientRequest, { type: 'get' }>): void {
    const { limits } = this.#host;
    if (request.keys.length > limits.operationsPerBatchMax) {
      throw tooLarge(
        `${request.keys.length} keys`,
        'operationsPerBatchMax',
        limits.operationsPerBatchMax,
      );
    }
    for (const key of request.keys) checkKey(key, limits);
    checkLevel(request);
    if (request.keys.length > this.#lookupsLeft) {
      throw tooMuch(`at most ${LOOKUPS_PER_FRAME_MAX} keys are looked up for one frame`);
    }
    this.#lookupsLeft -= request.keys.length;
    const replica = this.#replica();
    replica.read(request, (error) => {
      try {
        const refusal = error ?? this.#room;
        if (refusal !== null) throw refusal;
        if (!this.#closed) this.#lookUp(replica, request);
      } catch (cause) {
        this.#refuse(request.id, asBalsaError(cause));
      }
    });
  }

  #lookUp(replica: Replica, request: Extract<ClientRequest, { type: 'get' }>): void {
    const meta = metaOf(replica, request);
    const { machine } = replica;
    const items: (KeyContent | null)[] = [];
    let bytes = 0;
    for (const key of request.keys) {
      const item = machine.get(key, request.revision);
      items.push(item);
      bytes += item === null ? 1 : item.value.byteLength + key.byteLength;
      if (bytes >= this.#host.limits.rangePageBytesMax) break;
    }
    this.#answer({ type: 'get', id: request.id, meta, items });
  }

  #range(request: Extract<ClientRequest, { type: 'range' }>): void {
    checkLevel(request);
    const replica = this.#replica();
    this.#questions.begin();
    const done = (answer: () => void): void => {
      this.#questions.end();
      answer();
    };
    replica.read(request, (error) => {
      // With a stream that is closed it has nowhere to go.
      if (this.#closed) return;
      const refusal = error ?? this.#room;
      if (refusal !== null) return done(() => this.#refuse(request.id, refusal));
      const { machine } = replica;
      let meta = metaOf(replica, request);
      // It shows a later state then; its level was kept before.
      const onReadAnew = (): void => {
        const { stalenessMs, side } = meta;
        meta = { ...replica.meta(), stalenessMs, side };
      };
      machine.range({ ...request, ...request.filter }, onReadAnew).then(
        ({ items, revision, continueFrom, count }) =>
          done(() =>
            this.#answer({
              ...{ type: 'range', id: request.id, meta, items, revision, continueFrom, count },
            }),
          ),
        (cause: unknown) => {
          const error = readError(cause, machine, replica);
          done(() => this.#refuse(request.id, error));
        },
      );
    });
  }

  /**
   * Large values asked for faster than they are read have to be asked for again: they fill half of what may
   * wait for the client, and beyond that the stream would be ended. `null`: there is room.
   */
  get #room(): BalsaError | null {
    const waiting = this.#stream.pendingBytes + this.#answerBytes;
    if (waiting <= this.#host.limits.pendingAnswerBytesMax / 2) return null;
    return tooMuch(`${waiting} bytes of answers wait for the client (pendingAnswerBytesMax / 2)`);
  }

  #store(request: StoreRequest): void {
    checkLevel(request);
    const replica = this.#replica();
    const toAnswer = (): Promise<ClientAnswer> =>
      answerStoreRequest(replica, request, metaOf(replica, request));
    this.#questions.ask({ replica, request, toAnswer });
  }

  #replica(): Replica {
    const { replica } = this.#host;
    if (replica === null) throw this.#host.notServingReason();
    return replica;
  }

  #refuse(id: number, error: BalsaError): void {
    this.#answer({ type: 'error', id, error: toWireError(error) });
  }

  #answer(answer: ClientAnswer): void {
    if (this.#closed) return;
    if (this.#answers.length === 0) this.#onAnswers();
    this.#answers.push(answer);
    // As much as clients may send is enough for one frame: with the largest answer it has half of that.
    this.#answerBytes += answerBytes(answer);
    if (this.#answerBytes > this.#host.limits.frameBytesMax / 4) this.flush();
  }
}

function tooLarge(found: string, limit: string, value: number): BalsaError {
  return new BalsaError(
    'BATCH_TOO_LARGE',
    `the request has ${found}; the limit is ${value} (${limit})`,
    {
      outcome: 'not-applied',
      details: { limit: value },
    },
  );
}
