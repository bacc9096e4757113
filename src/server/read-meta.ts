import { BalsaError } from '../base/errors.js';
import type { AnswerMeta, ReadLevel } from '../rpc/protocol.js';
import type { Replica } from './replica.js';

/** What the answer to a read is given from, at the moment when its level was kept. */
export function metaOf(replica: Replica, { consistency, bound }: ReadLevel): AnswerMeta {
  return replica.meta(consistency === 'bounded' ? bound : undefined);
}

/** What was asked for at `at` must name a revision: there is no other bound of it. */
export function checkLevel(level: ReadLevel & { readonly revision?: number | null }): void {
  const { consistency, revision = null } = level;
  if (consistency !== 'at' || revision !== null) return;
  throw new BalsaError('INVALID_ARGUMENT', 'a read at the level `at` must name a revision');
}
