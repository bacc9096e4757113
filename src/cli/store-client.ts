import type { Client, ConnectOptions, RangeItem } from '../client/client.js';

/** The part of the client library that the commands use, with keys and values as bytes. */
export type StoreClient = Pick<
  Client<string | Uint8Array, Buffer, 'bytes'>,
  'put' | 'get' | 'delete' | 'range' | 'status' | 'close'
>;

export type StoreItem = RangeItem<Buffer, 'bytes'>;

/** All that a command says about its connection; nothing is left to defaults. */
export type StoreOptions = {
  readonly [K in Told]-?: NonNullable<ConnectOptions[K]>;
};

type Told =
  | 'endpoints'
  | 'timeoutMs'
  | 'connectTimeoutMs'
  | 'consistency'
  | 'followLeader'
  | 'clientName';
