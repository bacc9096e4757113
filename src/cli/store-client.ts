import type { Client, ConnectOptions, RangeItem } from '../client/client.js';
import type { ClusterAdmin, MembersChange } from '../client/cluster-admin.js';

/** The part of the client library that the commands use, with keys and values as bytes. */
export type StoreClient = Pick<
  Client<string | Uint8Array, Buffer, 'bytes'>,
  | 'put'
  | 'touch'
  | 'get'
  | 'delete'
  | 'deleteRange'
  | 'range'
  | 'count'
  | 'txn'
  | 'watch'
  | 'lease'
  | 'leases'
  | 'lock'
  | 'tryLock'
  | 'election'
  | 'compact'
  | 'info'
  | 'settings'
  | 'namespaces'
  | 'namespace'
  | 'procedures'
  | 'call'
  | 'jobs'
  | 'submit'
  | 'worker'
  | 'status'
  | 'snapshot'
  | 'close'
> & { readonly cluster: ClusterClient };

export type ClusterClient = Pick<ClusterAdmin, 'members' | 'change' | 'transfer'>;

export type { MembersChange };

export type StoreItem = RangeItem<Buffer, 'bytes'>;

/** All that a command says about its connection; nothing is left to defaults. */
export type StoreOptions = {
  readonly [K in Told]-?: NonNullable<ConnectOptions[K]>;
} & Pick<ConnectOptions, 'token'>;

type Told =
  | 'endpoints'
  | 'timeoutMs'
  | 'connectTimeoutMs'
  | 'consistency'
  | 'followLeader'
  | 'clientName';
