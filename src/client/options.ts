import { parseAddress } from '../base/address.js';
import { BalsaError } from '../base/errors.js';
import { CONSISTENCY_LEVELS, type Consistency } from '../rpc/protocol.js';
import type { Codec } from './codec.js';

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
  readonly consistency?: Consistency | undefined;
  /** Refuse replicas of any other cluster. Default: the cluster of the first replica that answers. */
  readonly clusterId?: string | undefined;
  /** What the application calls itself, for the logs of the replicas. Default `balsa`. */
  readonly clientName?: string | undefined;
  /**
   * Go where the leader is (default). `false`: stay at the first endpoint that answers and learn no
   * others, to read from one given replica; writes fail with `NOT_LEADER` unless it is the leader.
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
  /**
   * `linearizable`: sees every write that was acknowledged before the call began. `any`: some earlier
   * state, from the replica at hand, even when that is cut off. Default: that of the client.
   */
  readonly consistency?: Consistency | undefined;
  /** Read the store as it was at this revision. Default: the latest. */
  readonly revision?: number | undefined;
}

/** Options of {@link Client.range}. The time limit is for each page. */
export interface RangeOptions extends ReadOptions {
  /** Only keys that start with this. Not together with `from` and `to`. */
  readonly prefix?: string | Uint8Array | undefined;
  /** First key. Default: the first of all. */
  readonly from?: string | Uint8Array | undefined;
  /** The key behind the last one (exclusive). Default: through the last of all. */
  readonly to?: string | Uint8Array | undefined;
  /** Most keys to give. Default: no limit. */
  readonly limit?: number | undefined;
  /** From the last key to the first. Default `false`. */
  readonly reverse?: boolean | undefined;
}

/** {@link ConnectOptions} with everything filled in and checked, but for the codec. */
export interface Settings {
  readonly endpoints: readonly string[];
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly consistency: Consistency;
  readonly clusterId: string | null;
  readonly clientName: string;
  readonly followLeader: boolean;
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
    clusterId = null,
    clientName = 'balsa',
    followLeader = true,
    queueBytesMax = 64 * MiB,
  } = options;
  checkDuration('timeoutMs', timeoutMs);
  checkDuration('connectTimeoutMs', connectTimeoutMs);
  checkConsistency(consistency);
  if (!(queueBytesMax > 0)) throw invalid('queueBytesMax must be above 0');
  return {
    endpoints: checkEndpoints(options.endpoints),
    timeoutMs,
    connectTimeoutMs,
    consistency,
    clusterId,
    clientName: String(clientName).slice(0, CLIENT_NAME_LENGTH_MAX),
    followLeader,
    queueBytesMax,
  };
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

/** @throws BalsaError `INVALID_ARGUMENT` */
export function checkDuration(name: string, valueMs: unknown): void {
  if (typeof valueMs === 'number' && valueMs >= 0) return;
  throw invalid(`${name} must be a number of milliseconds from 0, found ${String(valueMs)}`);
}

/** @throws BalsaError `INVALID_ARGUMENT` */
export function checkConsistency(level: unknown): void {
  if (typeof level === 'string' && Object.hasOwn(CONSISTENCY_LEVELS, level)) return;
  const known = Object.keys(CONSISTENCY_LEVELS).join(', ');
  throw invalid(`consistency must be one of ${known}; found ${String(level)}`);
}

/** @throws BalsaError `INVALID_ARGUMENT` */
export function checkRevision(revision: unknown): void {
  if (Number.isSafeInteger(revision) && (revision as number) >= 0) return;
  throw invalid(`revision must be a whole number from 0, found ${String(revision)}`);
}

export function invalid(message: string): BalsaError {
  return new BalsaError('INVALID_ARGUMENT', message, { outcome: 'not-applied' });
}
