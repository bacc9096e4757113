/** Words of the requests that are about procedures. */

/** `list`: what there is. `logs`, `stats`: how the calls of this replica went. */
export const PROCEDURES_TOPICS = ['list', 'logs', 'stats'] as const;
export type ProceduresTopic = (typeof PROCEDURES_TOPICS)[number];

/**
 * - `read`: over the state of the replica, at the level of the request; the procedure must be one that only reads
 * - `lane`: by the leader
 * - `any`: by the replica that is asked, for the leader to be submitted; answered `executed`
 */
export const ROUTES = ['read', 'lane', 'any'] as const;
export type Route = (typeof ROUTES)[number];

/** How long ago a call was tried first under its key. A replica that has been asked late must not take it for a new one. */
export interface CallAge {
  readonly ms: number;
  /** When it was as old: when the hello of the replica had come, or when it was sent, behind that. */
  readonly at: 'hello' | 'sent';
}

/** A call that may have been tried before. */
export interface Aged {
  /** `null`: it was not tried before, or what was tried is known not to have been applied. */
  readonly age: CallAge | null;
}

/** JSON in the answer about the topic `list`: one for each alias of each procedure. */
export interface ProcedureInfo {
  readonly name: string;
  readonly alias: string;
  readonly mode: string;
  /** It is called with what is written to keys with this prefix; absent or `null`: by callers. */
  readonly trigger?: string | null;
  /** The present one first; since when, in log time. */
  readonly versions: readonly { readonly hash: string; readonly sinceMs: number }[];
}

/** Changes of `ap` calls that a replica has on its disk. */
export interface ApFigures {
  /** Of its queue; dies with its disk. */
  readonly origin: string;
  /** Calls that are held here and not merged into the log: its own, and copies of those of others. */
  readonly pending: number;
  /** What its own take on the disk, in bytes. */
  readonly ownBytes: number;
  /** What copies take. */
  readonly copiesBytes: number;
  /** Of the leader: why it could not merge the last time; `null`: it could. */
  readonly refusal: string | null;
}
