import { parseAddress } from '../base/address.js';
import { BalsaError } from '../base/errors.js';
import type { Codec } from './codec.js';
import { type ConsistencyOption, checkConsistency } from './consistency.js';
import { checkDuration, invalid } from './invalid.js';
import { parseToken } from './session-token.js';

export { checkDuration, checkRevision, invalid } from './invalid.js';

export type ReadFrom = 'leader' | 'spread';

/** In which form keys are given back. */
export type KeyForm = 'text' | 'bytes';

/** Options of {@link connect}. */
export interface ConnectOptions<
  In = string | Uint8Array,
  Out = Buffer,
  Keys extends KeyForm = 'text',
> {
  /** `host:port` of some replicas; the others are learnt from them. */
  readonly endpoints: readonly string[];
  /** How values become bytes: {@link bytes} (default), {@link text}, {@link json} or your own. */
  readonly codec?: Codec<In, Out> | undefined;
  /**
   * Form in which `range` gives keys: `text` (default; a key that is not UTF-8 fails with
   * `VALUE_NOT_DECODABLE`) or `bytes`. Either form is taken everywhere.
   */
  readonly keys?: Keys | undefined;
  /** Time limit of a call, in milliseconds; 0: none. Default 5000. */
  readonly timeoutMs?: number | undefined;
  /** Time limit of `connect`, in milliseconds; 0: none. Default 5000. */
  readonly connectTimeoutMs?: number | undefined;
  /** How fresh reads are unless they say otherwise. Default `linearizable`. */
  readonly consistency?: ConsistencyOption | undefined;
  /**
   * A session token (`db.token`, `meta.token`) of this or another client: `session` reads see at least
   * what that one had seen.
   */
  readonly token?: string | undefined;
  /**
   * Which replica serves reads: that of the one link to the `leader` (default), or all members in turn
   * over a link to each (`spread`; up to 256 of one turn of the event loop together). Linearizable reads go to the leader all the same, unless
   * `spreadLinearizable`.
   */
  readonly readFrom?: ReadFrom | undefined;
  /**
   * With `readFrom: 'spread'`: linearizable reads are spread, too. A follower asks the leader what it must
   * have, and serves the read itself: that takes longer, and takes work off the leader. Default `false`.
   */
  readonly spreadLinearizable?: boolean | undefined;
  /** Refuse replicas of any other cluster. Default: the cluster of the first replica that answers. */
  readonly clusterId?: string | undefined;
  /** What the application calls itself, for the logs of the replicas. Default `balsa`. */
  readonly clientName?: string | undefined;
  /**
   * Go where the leader is (default). `false`: stay at the first endpoint that answers and learn no
   * others, to read from one given replica; writes fail with `NOT_LEADER` unless it is the leader, and linearizable
   * reads with `NO_QUORUM` when it knows none.
   */
  readonly followLeader?: boolean | undefined;
  /**
   * Most bytes of calls that wait to be sent, reads and writes each; beyond, calls fail with
   * `OVERLOADED` at once. Default 64 MiB.
   */
  readonly queueBytesMax?: number | undefined;
}

/** Options of every call. */
export interface CallOptions {
  /** Time limit in milliseconds; 0: none. Default: that of the client. */
  readonly timeoutMs?: number | undefined;
  /** Aborts the call: it fails with `CANCELLED`. A write that was sent may be applied all the same. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of reads. */
export interface ReadOptions extends CallOptions {
  /** How fresh it is: see {@link ConsistencyOption}. Default: that of the client. */
  readonly consistency?: ConsistencyOption | undefined;
  /** Read the store as it was at this revision. Default: the latest. */
  readonly revision?: number | undefined;
}

/** Which keys: of {@link Client.range} and {@link Client.count}. The time limit is for each page. */
export interface KeysOptions extends ReadOptions {
  /** Only keys that start with this. Not together with `from` and `to`. */
  readonly prefix?: string | Uint8Array | undefined;
  /** First key. Default: the first of all. */
  readonly from?: string | Uint8Array | undefined;
  /** The key behind the last one (exclusive). Default: through the last of all. */
  readonly to?: string | Uint8Array | undefined;
  /** Only keys that were put last at this revision or later. */
  readonly minModRevision?: number | undefined;
  /** Only keys that were put last at this revision or before. */
  readonly maxModRevision?: number | undefined;
  /** Only keys that were created at this revision or later. */
  readonly minCreateRevision?: number | undefined;
  /** Only keys that were created at this revision or before. */
  readonly maxCreateRevision?: number | undefined;
}

export type SortField = 'key' | 'modRevision' | 'createRevision' | 'version';

/** Options of {@link Client.range}. */
export interface RangeOptions extends KeysOptions {
  /** Most keys to give. Default: no limit. */
  readonly limit?: number | undefined;
  /** From the last key to the first; with `sortBy` from the highest to the lowest. Default `false`. */
  readonly reverse?: boolean | undefined;
  /**
   * In the order of this field, keys with an equal one in the order of the keys. Default `key`, the order
   * of the store. For any other the client reads the whole range and holds `limit` keys, which must be
   * given: nothing comes before all has been read.
   */
  readonly sortBy?: SortField | undefined;
}

/** Options of {@link Client.range} for keys without their values: less to send. */
export interface KeysOnlyOptions extends RangeOptions {
  readonly keysOnly: true;
}

/** {@link ConnectOptions} with everything filled in and checked, but for the codec. */
export interface Settings {
  readonly endpoints: readonly string[];
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly consistency: ConsistencyOption;
  readonly token: string | null;
  readonly readFrom: ReadFrom;
  readonly spreadLinearizable: boolean;
  readonly clusterId: string | null;
  readonly clientName: string;
  readonly followLeader: boolean;
  /** Of a link beside the main one: what fails is not tried again there, but elsewhere. */
  readonly pinned: boolean;
  readonly queueBytesMax: number;
}

const MiB = 1024 * 1024;
const CLIENT_NAME_LENGTH_MAX = 200;

/** @throws BalsaError `INVALID_ARGUMENT` */
export function toSettings(options: ConnectOptions<never, unknown, KeyForm>): Settings {
  const {
    timeoutMs = 5000,
    connectTimeoutMs = 5000,
    consistency = 'linearizable',
    token = null,
    readFrom = 'leader',
    spreadLinearizable = false,
    clusterId = null,
    clientName = 'balsa',
    followLeader = true,
    queueBytesMax = 64 * MiB,
  } = options;
  checkDuration('timeoutMs', timeoutMs);
  checkDuration('connectTimeoutMs', connectTimeoutMs);
  checkConsistency(consistency);
  checkReadFrom(readFrom, followLeader);
  if (!(queueBytesMax > 0)) throw invalid('queueBytesMax must be above 0');
  return {
    endpoints: checkEndpoints(options.endpoints),
    timeoutMs,
    connectTimeoutMs,
    consistency,
    token,
    readFrom,
    spreadLinearizable,
    clusterId: clusterOf(clusterId, token),
    clientName: String(clientName).slice(0, CLIENT_NAME_LENGTH_MAX),
    followLeader,
    pinned: false,
    queueBytesMax,
  };
}

function checkReadFrom(readFrom: unknown, followLeader: boolean): void {
  if (readFrom !== 'leader' && readFrom !== 'spread') {
    throw invalid(`readFrom must be leader or spread, found ${String(readFrom)}`);
  }
  if (readFrom === 'spread' && !followLeader) {
    throw invalid("followLeader: false stays at one replica, readFrom: 'spread' does not");
  }
}

/** A token is of one cluster: no replica of another one will do. */
function clusterOf(clusterId: string | null, token: string | null): string | null {
  if (token === null) return clusterId;
  const named = parseToken(token).clusterId;
  if (named === '') return clusterId;
  if (clusterId === null || clusterId === named) return named;
  throw new BalsaError(
    'CLUSTER_MISMATCH',
    `the session token is of cluster ${named}, and clusterId says ${clusterId}`,
    { outcome: 'not-applied' },
  );
}

/** `a:1,b:2` as its parts. */
export function splitEndpoints(list: string): string[] {
  return list.split(',').map((part) => part.trim());
}

function checkEndpoints(endpoints: unknown): readonly string[] {
  if (!Array.isArray(endpoints) || endpoints.length === 0) {
    throw invalid('endpoints must name at least one replica as host:port');
  }
  for (const endpoint of endpoints) {
    const parsed = parseAddress(String(endpoint));
    if (!parsed.ok) throw invalid(`endpoints: ${parsed.problem}`);
  }
  return [...new Set(endpoints.map(String))];
}
