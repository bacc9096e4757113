import type { ReadLevel } from '../rpc/protocol.js';
import { checkRevision, invalid } from './invalid.js';
import { parseToken, type Seen } from './session-token.js';

/**
 * How fresh a read is. In the order of what they cost and promise (docs/guarantees.md):
 *
 * - `linearizable`: sees every write that was acknowledged before the call began. Needs a majority.
 * - `session`: sees what this client has written, and never less than what it has read or was told by a watch before.
 *   `{ session: token }`: and what the client had seen that the token is from, also another one.
 * - `{ bounded: ms }`: is at most so many milliseconds old, at least 1.
 * - `{ at: revision }`: the store as it was then.
 * - `any`: some earlier state, from the replica at hand, even when that is cut off.
 * - `ap-local`: as `any`, with what this side of a partition has taken in on its own.
 */
export type ConsistencyOption =
  | 'linearizable'
  | 'session'
  | 'any'
  | 'ap-local'
  | { readonly session: string }
  | { readonly bounded: number }
  | { readonly at: number };

/** What a read asks for, in the form of the wire. */
export interface ReadTarget extends ReadLevel {
  readonly revision: number | null;
}

const NAMED = new Set<unknown>(['linearizable', 'session', 'any', 'ap-local']);
const KNOWN =
  'linearizable, session, any, ap-local, { session: token }, { bounded: ms }, { at: revision }';

/** @throws BalsaError `INVALID_ARGUMENT` */
export function checkConsistency(option: unknown): asserts option is ConsistencyOption {
  if (NAMED.has(option)) return;
  if (typeof option === 'object' && option !== null && Object.keys(option).length === 1) {
    const { session, bounded, at } = option as Record<string, unknown>;
    if (session !== undefined) {
      parseToken(session);
      return;
    }
    if (at !== undefined) {
      checkRevision(at);
      return;
    }
    if (bounded !== undefined) {
      if (typeof bounded === 'number' && bounded >= 1 && bounded <= Number.MAX_SAFE_INTEGER) return;
      // No answer is younger than the way that it takes.
      throw invalid(
        `bounded must be a number of milliseconds from 1, found ${String(bounded)}; the latest state is "linearizable"`,
      );
    }
  }
  const found = typeof option === 'object' ? JSON.stringify(option) : String(option);
  throw invalid(`consistency must be one of ${KNOWN}; found ${found}`);
}

/**
 * What a read with these options asks for, begun now.
 * @throws BalsaError `INVALID_ARGUMENT`, `CLUSTER_MISMATCH`
 */
export function toReadTarget(
  option: ConsistencyOption,
  revision: number | undefined,
  seen: Seen,
): ReadTarget {
  if (revision !== undefined) checkRevision(revision);
  const at = revision ?? null;
  if (typeof option === 'string') {
    const bound = option === 'session' ? seen.index : 0;
    return { consistency: option, bound, revision: at };
  }
  if ('session' in option) {
    const bound = Math.max(seen.index, seen.indexOf(option.session));
    return { consistency: 'session', bound, revision: at };
  }
  if ('bounded' in option) {
    return { consistency: 'bounded', bound: Math.floor(option.bounded), revision: at };
  }
  if (at !== null) throw invalid('a read at { at: revision } takes no other revision');
  return { consistency: 'at', bound: 0, revision: option.at };
}
