import { BalsaError } from '../base/errors.js';
import type { JobQuery, JobsAnswer, ValueInfo } from '../rpc/job-protocol.js';
import type { ClientAnswer, ClientRequest, ReadLevel } from '../rpc/protocol.js';
import type { Engine } from './engine.js';
import type { CallOptions } from './options.js';
import type { Meta } from './pending.js';
import type { PendingRead } from './pending-read.js';
import { ReadRequest } from './read-request.js';
import type { ReadRouter } from './read-router.js';

/** A question about jobs, at a level. */
export class JobsRequest extends ReadRequest {
  readonly consistency: ReadLevel['consistency'];
  readonly calls: readonly [PendingRead<JobsAnswer>];
  readonly #query: JobQuery;
  readonly #bound: number;

  constructor(query: JobQuery, { consistency, bound }: ReadLevel, call: PendingRead<JobsAnswer>) {
    super();
    this.calls = [call];
    this.consistency = consistency;
    this.#query = query;
    this.#bound = bound;
  }

  encode(id: number): ClientRequest {
    const { consistency } = this;
    return {
      type: 'jobs',
      id,
      consistency,
      bound: this.#bound,
      query: JSON.stringify(this.#query),
    };
  }

  answer(answer: ClientAnswer, meta: Meta): null {
    if (answer.type !== 'jobs') throw mismatch(answer);
    this.calls[0].succeed({ info: answer.info, bytes: answer.bytes }, meta);
    return null;
  }
}

/** Where answers about jobs come from. */
export interface JobsAsker {
  readonly engine: Engine;
  readonly reads: ReadRouter;
}

const LATEST: ReadLevel = { consistency: 'linearizable', bound: 0 };

export function askJobs(
  { engine, reads }: JobsAsker,
  query: JobQuery,
  options: CallOptions,
  level: ReadLevel = LATEST,
): Promise<JobsAnswer> {
  return new Promise((resolve, reject) => {
    const limits = engine.callLimits(options);
    reads.ask<JobsAnswer>(level.consistency, (call) => new JobsRequest(query, level, call), {
      ...{ limits, deliver: (answer: JobsAnswer) => resolve(answer), reject },
    });
  });
}

/**
 * What values are: JSON that was read, or bytes. What was uploaded is fetched.
 * @param options for each chunk
 */
export async function readValues(
  asker: JobsAsker,
  values: readonly ValueInfo[],
  bytes: Uint8Array,
  options: CallOptions,
): Promise<unknown[]> {
  const found: unknown[] = [];
  let at = 0;
  for (const value of values) {
    if (value.type === 'upload') {
      const whole = await fetchUpload(asker, value, options);
      found.push(value.isJson ? parse(whole) : whole);
      continue;
    }
    const part = Buffer.from(bytes.subarray(at, at + value.bytes));
    at += value.bytes;
    found.push(value.type === 'json' ? parse(part) : part);
  }
  return found;
}

async function fetchUpload(
  asker: JobsAsker,
  { upload, chunks }: ValueInfo & { readonly type: 'upload' },
  options: CallOptions,
): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (let place = 0; place < chunks; place += 1) {
    const { bytes } = await askJobs(asker, { about: 'chunk', upload, place }, options);
    parts.push(Uint8Array.from(bytes));
  }
  return Buffer.concat(parts);
}

function parse(bytes: Uint8Array): unknown {
  return JSON.parse(Buffer.from(bytes).toString('utf8')) as unknown;
}

function mismatch(answer: ClientAnswer): BalsaError {
  return new BalsaError(
    'FRAME_INVALID',
    `an answer of type ${answer.type} to a question about jobs`,
  );
}
