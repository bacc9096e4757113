import { BalsaError } from '../base/errors.js';
import type { JobQuery } from '../rpc/job-protocol.js';
import type { ClientAnswer, ClientRequest } from '../rpc/protocol.js';
import type { Question } from './questions.js';
import { checkLevel, metaOf } from './read-meta.js';
import type { Replica } from './replica.js';

export interface ClientJobsHost {
  readonly answer: (answer: ClientAnswer) => void;
  readonly refuse: (id: number, error: BalsaError) => void;
  /** See {@link Questions.ask}. */
  readonly ask: (question: Question) => void;
}

/** What one client asks about jobs, and what its workers ask for. */
export class ClientJobs {
  readonly #host: ClientJobsHost;

  constructor(host: ClientJobsHost) {
    this.#host = host;
  }

  /** @throws BalsaError `INVALID_ARGUMENT`, `FRAME_INVALID`, `OVERLOADED` */
  request(replica: Replica, request: Extract<ClientRequest, { type: 'jobs' | 'work' }>): void {
    const { answer, refuse, ask } = this.#host;
    const { id } = request;
    if (request.type === 'work') {
      replica.calls.jobs.work(request, (work) => {
        if (work instanceof BalsaError) refuse(id, work);
        else answer({ type: 'work', id, meta: replica.meta(), ...work });
      });
      return;
    }
    checkLevel(request);
    const query = toQuery(request.query);
    const toAnswer = async (): Promise<ClientAnswer> => {
      const meta = metaOf(replica, request);
      return { type: 'jobs', id, meta, ...(await replica.calls.jobs.answer(query)) };
    };
    ask({ replica, request, toAnswer });
  }
}

/** @throws BalsaError `FRAME_INVALID` */
function toQuery(text: string): JobQuery {
  try {
    const query: unknown = JSON.parse(text);
    // What is in it is looked at where it is used: a field that is not there is nobody's id.
    if (typeof query === 'object' && query !== null && 'about' in query) return query as JobQuery;
  } catch (cause) {
    throw new BalsaError('FRAME_INVALID', 'the query about jobs is not JSON', { cause });
  }
  throw new BalsaError('FRAME_INVALID', 'the query about jobs does not say what about');
}
