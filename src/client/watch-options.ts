import { prefixEnd } from '../base/bytes.js';
import type { Limits } from '../base/limits.js';
import { checkKey } from '../base/operation-check.js';
import type { WatchRequest } from '../rpc/protocol.js';
import { invalid, keyBytes } from './invalid.js';
import type { CallOptions } from './options.js';

/** That the events of a watch come faster than they are taken. It is no error: none is lost. */
export interface LaggingNotice {
  readonly code: 'WATCH_LAGGING';
  /**
   * `replica`: the network or this process took the events too slowly. `client`: the caller did, and more
   * than `bufferBytesMax` of them waited, of several revisions. Either way the rest is read from history as it is taken.
   */
  readonly by: 'replica' | 'client';
  /** Everything through this revision had been handed on. */
  readonly revision: number;
}

/** Options of {@link Client.watch}: a `key`, a `prefix`, or `from` and `to`; none of them: every key. */
export interface WatchOptions extends CallOptions {
  readonly key?: string | Uint8Array | undefined;
  /** Every key that starts with this. */
  readonly prefix?: string | Uint8Array | undefined;
  /** First key. Default: the first of all. */
  readonly from?: string | Uint8Array | undefined;
  /** The key behind the last one (exclusive). Default: through the last of all. */
  readonly to?: string | Uint8Array | undefined;
  /**
   * Events from this revision on, this one included; it may be in the past (as long as it is kept, else
   * `COMPACTED`) or in the future. Default: what is written after the watch was established.
   */
  readonly fromRevision?: number | undefined;
  /** Events say what the key held before. Default `false`. */
  readonly withPrevious?: boolean | undefined;
  /** Only these events. Default: both. */
  readonly only?: 'puts' | 'deletes' | undefined;
  /** `batches()` also gives batches without events, when nothing was written for a while. Default `false`. */
  readonly progress?: boolean | undefined;
  /** Called in between events: everything through this revision has been given. */
  readonly onProgress?: ((revision: number) => void) | undefined;
  /** Events come faster than they are taken. */
  readonly onLagging?: ((notice: LaggingNotice) => void) | undefined;
  /**
   * `any` (default): the replica that the client is connected to, which is the leader when there is one.
   * `leader`: only the leader.
   */
  readonly servedBy?: 'any' | 'leader' | undefined;
  /**
   * What the replica must know before it begins. `linearizable` (default): every write that was acknowledged
   * before. `any`: whatever it has; also a replica that is cut off takes the watch.
   */
  readonly consistency?: 'linearizable' | 'any' | undefined;
  /**
   * Bytes of events that wait to be taken; beyond, the watch pauses, unless all of them are of one revision.
   * Default 4 MiB.
   */
  readonly bufferBytesMax?: number | undefined;
}

/** What is asked of a replica, but for the revision to begin at. */
export interface WatchQuery
  extends Omit<WatchRequest, 'type' | 'id' | 'startRevision' | 'consistency' | 'bound'> {
  readonly consistency: 'linearizable' | 'any';
  readonly fromRevision: number | null;
  readonly needsLeader: boolean;
  readonly bufferBytesMax: number;
}

const BUFFER_BYTES = 4 * 1024 * 1024;

/** @throws BalsaError `INVALID_ARGUMENT`, `KEY_EMPTY`, `KEY_TOO_LARGE` */
export function toWatchQuery(options: WatchOptions, limits: Limits): WatchQuery {
  const { only, servedBy = 'any', consistency = 'linearizable' } = options;
  const { bufferBytesMax = BUFFER_BYTES, fromRevision = null } = options;
  oneOf('only', only, ['puts', 'deletes', undefined]);
  oneOf('servedBy', servedBy, ['any', 'leader']);
  oneOf('consistency', consistency, ['linearizable', 'any']);
  if (!(bufferBytesMax > 0)) throw invalid('bufferBytesMax must be above 0');
  if (fromRevision !== null && !(Number.isSafeInteger(fromRevision) && fromRevision >= 1)) {
    throw invalid(`fromRevision must be a whole number from 1, found ${String(fromRevision)}`);
  }
  return {
    ...rangeOf(options, limits),
    fromRevision,
    withPrevious: options.withPrevious === true,
    noPuts: only === 'deletes',
    noDeletes: only === 'puts',
    consistency,
    needsLeader: servedBy === 'leader',
    bufferBytesMax,
  };
}

function rangeOf(options: WatchOptions, limits: Limits): Pick<WatchRequest, 'from' | 'to'> {
  const { key, prefix, from, to } = options;
  const isRange = from !== undefined || to !== undefined;
  if ([key !== undefined, prefix !== undefined, isRange].filter(Boolean).length > 1) {
    throw invalid('watch takes one of key, prefix, or from and to');
  }
  if (key !== undefined) {
    const start = keyBytes('key', key);
    checkKey(start, limits);
    return { from: start, to: Buffer.concat([start, Buffer.of(0)]) };
  }
  if (prefix !== undefined) {
    const start = keyBytes('prefix', prefix);
    return { from: start, to: prefixEnd(start) };
  }
  const start = keyBytes('from', from ?? '');
  return { from: start, to: to === undefined ? null : keyBytes('to', to) };
}

function oneOf(name: string, value: unknown, allowed: readonly unknown[]): void {
  if (allowed.includes(value)) return;
  const known = allowed.filter((each) => each !== undefined).join(', ');
  throw invalid(`${name} must be one of ${known}; found ${String(value)}`);
}
