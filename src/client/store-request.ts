import { BalsaError } from '../base/errors.js';
import type { ProceduresTopic } from '../rpc/call-protocol.js';
import type {
  ClientAnswer,
  ClientRequest,
  Consistency,
  LeaseInfo,
  StoreInfo,
} from '../rpc/protocol.js';
import type { Engine } from './engine.js';
import type { CallOptions } from './options.js';
import type { Meta } from './pending.js';
import { PendingRead } from './pending-read.js';
import { ReadRequest } from './read-request.js';

/** Questions about the store as a whole; asked at the leader, so that what was just written is seen. */
abstract class StoreQuestion<Answer> extends ReadRequest {
  readonly consistency: Consistency;
  readonly calls: readonly [PendingRead<Answer>];

  constructor(call: PendingRead<Answer>, consistency: Consistency = 'linearizable') {
    super();
    this.calls = [call];
    this.consistency = consistency;
  }
}

/** What the state is like: sizes, settings, namespaces. */
export class StoreRequest extends StoreQuestion<StoreInfo> {
  encode(id: number): ClientRequest {
    return { type: 'store', id, consistency: this.consistency, bound: 0 };
  }

  answer(answer: ClientAnswer, meta: Meta): null {
    if (answer.type !== 'store') throw mismatch(answer);
    this.calls[0].succeed(parseInfo(answer.info), meta);
    return null;
  }
}

export class LeasesRequest extends StoreQuestion<readonly LeaseInfo[]> {
  readonly #lease: number | null;

  /** @param lease `null`: all */
  constructor(lease: number | null, call: PendingRead<readonly LeaseInfo[]>) {
    super(call);
    this.#lease = lease;
  }

  encode(id: number): ClientRequest {
    const { consistency } = this;
    return { type: 'leases', id, consistency, bound: 0, lease: this.#lease };
  }

  answer(answer: ClientAnswer, meta: Meta): null {
    if (answer.type !== 'leases') throw mismatch(answer);
    this.calls[0].succeed(answer.leases, meta);
    return null;
  }
}

/** What is known of procedures: a list. Of its own calls a replica tells also when it is cut off: that may be why. */
export class ProceduresRequest extends StoreQuestion<object> {
  readonly #about: ProceduresTopic;

  constructor(about: ProceduresTopic, call: PendingRead<object>) {
    super(call, about === 'list' ? 'linearizable' : 'any');
    this.#about = about;
  }

  encode(id: number): ClientRequest {
    const { consistency } = this;
    return { type: 'procedures', id, consistency, bound: 0, about: this.#about };
  }

  answer(answer: ClientAnswer, meta: Meta): null {
    if (answer.type !== 'procedures') throw mismatch(answer);
    this.calls[0].succeed(parseInfo(answer.info), meta);
    return null;
  }
}

/** Asks, and gives what was answered together with where it is from. */
export function askStore<Answer extends object>(
  engine: Engine,
  options: CallOptions,
  toRequest: (call: PendingRead<Answer>) => ReadRequest,
): Promise<{ readonly answer: Answer; readonly meta: Meta }> {
  return new Promise((resolve, reject) => {
    const limits = engine.callLimits(options);
    const deliver = (answer: Answer, meta: Meta): void => resolve({ answer, meta });
    const call = new PendingRead<Answer>(limits, deliver, reject);
    engine.ask(toRequest(call), call, limits);
  });
}

/** Replicas of other versions may leave fields out or have more: that is not ours to refuse. */
function parseInfo(text: string): StoreInfo {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as StoreInfo;
  } catch (cause) {
    throw new BalsaError('FRAME_INVALID', 'the store info is not JSON', { cause });
  }
  throw new BalsaError('FRAME_INVALID', 'the store info is not an object');
}

function mismatch(answer: ClientAnswer): BalsaError {
  return new BalsaError('FRAME_INVALID', `an answer of type ${answer.type} to another question`);
}
