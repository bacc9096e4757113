/**
 * The client library of Balsa.
 *
 * @packageDocumentation
 */
import { bytes, type Codec } from './codec.js';
import { systemEnvironment } from './environment.js';
import type { Client } from './kv-client.js';
import { openClient } from './kv-client.js';
import { type ConnectOptions, type KeyForm, splitEndpoints } from './options.js';

export { BalsaError, ERROR_CODES, type ErrorCode, type WriteOutcome } from '../base/errors.js';
export type {
  JobDefinition,
  JobInput,
  RangeInput,
  StageDefinition,
  TaskProcedure,
} from '../base/job-definition.js';
export type { StoreSettings } from '../base/operation.js';
export type { SnapshotPart } from '../base/snapshot-codec.js';
export type { ProcedureInfo } from '../rpc/call-protocol.js';
export type { JobInfo, JobsStats, StageInfo, WorkerInfo } from '../rpc/job-protocol.js';
export type {
  AdminResult,
  Consistency,
  MemberAddress,
  MemberStatus,
  MembersStatus,
  ReplicaStatus,
  StoreInfo,
} from '../rpc/protocol.js';
export {
  ClusterAdmin,
  type MembersChange,
  type NewMember,
  type Replacement,
} from './cluster-admin.js';
export { bytes, type Codec, json, text } from './codec.js';
export { compare, NumberComparison, type RangeComparisons, ValueComparison } from './compare.js';
export type { ConsistencyOption } from './consistency.js';
export { type CampaignOptions, Election, type Leader, Leadership } from './election.js';
export { JobHandle, Jobs, type SubmitOptions, type WaitOptions } from './jobs.js';
export {
  Client,
  type CompactResult,
  type CountResult,
  type GetResult,
  type RangeItem,
} from './kv-client.js';
export { Lease } from './lease.js';
export { type LeaseDetails, type LeaseStatus, Leases } from './leases.js';
export { Held, Lock, type LockOptions } from './lock.js';
export {
  type NamespaceInfo,
  type NamespaceOptions,
  type NamespaceRef,
  Namespaces,
} from './namespaces.js';
export { op, TxnSpec } from './op.js';
export type {
  BranchResult,
  Condition,
  DeleteOp,
  DeleteRangeOp,
  GetOp,
  GetOpResult,
  Op,
  OpResult,
  OpResults,
  PutOp,
  RangeOp,
  RangeOpOptions,
  RangeOpResult,
  TouchOp,
  TxnOp,
} from './op-types.js';
export type {
  CallOptions,
  ConnectOptions,
  KeyForm,
  KeysOnlyOptions,
  KeysOptions,
  RangeOptions,
  ReadFrom,
  ReadOptions,
  SortField,
} from './options.js';
export type { Meta } from './pending.js';
export {
  type CallResult,
  type Deployable,
  type LogLine,
  type ProcedureCallOptions,
  type ProcedureReference,
  type ProcedureStats,
  Procedures,
} from './procedures.js';
export type { TurnOptions } from './queue-place.js';
export type {
  CasResult,
  ChangeResult,
  DeleteRangeResult,
  DeleteResult,
  Item,
  Key,
  KeyOf,
  Previous,
  PutResult,
} from './results.js';
export type { TransactionOptions } from './run-transaction.js';
export type { LeaseOptions } from './store-coordination.js';
export { Settings } from './store-settings.js';
export { Transaction, type TransactionRange } from './transaction.js';
export { Txn, type TxnResult } from './txn.js';
export { type PreviousValue, Watch, type WatchBatch, type WatchEvent } from './watch.js';
export type { LaggingNotice, WatchOptions } from './watch-options.js';
export { Worker, type WorkerOptions } from './worker/worker.js';
export type { WorkerTask, WorkerTaskContext } from './worker/worker-messages.js';
export type { WorkerNotice } from './worker-loop.js';
export type {
  CasOptions,
  DeleteOptions,
  DeleteRangeOptions,
  Expected,
  KeyRange,
  LeaseRef,
  PutOptions,
} from './write-options.js';

/**
 * Connects to a cluster. Resolves when a replica has answered; the leader is looked for meanwhile, and
 * calls wait for it.
 *
 * `await using` (TypeScript 5.2, or Node 24 without it) closes the client at the end of the block;
 * elsewhere call `close()`.
 *
 * @param options {@link ConnectOptions}, or just the endpoints: `127.0.0.1:7001,127.0.0.1:7002`
 * @throws BalsaError `UNREACHABLE` (no endpoint answers within `connectTimeoutMs`; the message says of
 *   each why), `CLUSTER_MISMATCH`, `PROTOCOL_VERSION`, `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { connect } from 'balsa';
 *
 * await using db = await connect({ endpoints: ['127.0.0.1:7001', '127.0.0.1:7002'] });
 * await db.put('greeting', 'hello');
 * const { value } = await db.get('greeting');
 * console.log(value?.toString()); // hello
 * ```
 */
export function connect(endpoints: string): Promise<Client>;
export function connect<Keys extends KeyForm = 'text'>(
  options: ConnectOptions<string | Uint8Array, Buffer, Keys> & { readonly codec?: undefined },
): Promise<Client<string | Uint8Array, Buffer, Keys>>;
export function connect<In = string | Uint8Array, Out = Buffer, Keys extends KeyForm = 'text'>(
  options: ConnectOptions<In, Out, Keys>,
): Promise<Client<In, Out, Keys>>;
export async function connect(
  given: string | ConnectOptions<never, unknown, KeyForm>,
): Promise<unknown> {
  const options = typeof given === 'string' ? { endpoints: splitEndpoints(given) } : given;
  const codec: Codec<never, unknown> = options.codec ?? bytes;
  return openClient({ ...options, codec }, systemEnvironment());
}
