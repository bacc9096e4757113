import { BalsaError } from '../base/errors.js';
import { invalid } from './invalid.js';

/**
 * A session token is text that may be passed on: the log index of what somebody has seen, and the
 * cluster whose log it is.
 */
interface SessionToken {
  readonly clusterId: string;
  readonly index: number;
}

/** @throws BalsaError `INVALID_ARGUMENT` */
export function parseToken(token: unknown): SessionToken {
  const match = typeof token === 'string' ? /^(\d{1,16})@(.*)$/.exec(token) : null;
  const index = Number(match?.[1]);
  if (match === null || !Number.isSafeInteger(index)) {
    const found = typeof token === 'string' ? `"${token.slice(0, 100)}"` : typeof token;
    throw invalid(`a session token is text as db.token gives it, found ${found}`);
  }
  return { index, clusterId: match[2] as string };
}

/** How much of the log a client has seen in the answers it got and what its watches gave, over all its links. */
export class Seen {
  /** `null`: no replica has answered yet. */
  clusterId: string | null = null;
  #index = 0;
  #applied = 0;

  get index(): number {
    return this.#index;
  }

  get token(): string {
    return this.tokenAt(this.#index);
  }

  tokenAt(index: number): string {
    return `${index}@${this.clusterId ?? ''}`;
  }

  /** Of a call that is made now: an index that was applied somewhere, as late as is known. */
  get bornIndex(): number {
    return Math.max(this.#index, this.#applied);
  }

  /** A replica has applied as much; that is no answer, which sessions would have to have. */
  noteApplied(index: number): void {
    if (index > this.#applied) this.#applied = index;
  }

  /** An answer was given from this state, or events that the caller has now. */
  note(appliedIndex: number): void {
    if (appliedIndex > this.#index) this.#index = appliedIndex;
  }

  /**
   * What a token stands for.
   * @throws BalsaError `INVALID_ARGUMENT`, `CLUSTER_MISMATCH`
   */
  indexOf(token: unknown): number {
    const { clusterId, index } = parseToken(token);
    // A token without a cluster is of a client that had seen nothing yet.
    if (clusterId === '' || this.clusterId === null || clusterId === this.clusterId) return index;
    throw new BalsaError(
      'CLUSTER_MISMATCH',
      `the session token is of cluster ${clusterId}, and this client is connected to ${this.clusterId}`,
      { outcome: 'not-applied' },
    );
  }
}
