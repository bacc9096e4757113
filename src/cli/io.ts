import type { Readable, Writable } from 'node:stream';
import type { ServerConfig } from '../server/config.js';
import type { Server } from '../server/server.js';
import type { StoreClient, StoreOptions } from './store-client.js';

export type CliInput = Readable & { readonly isTTY?: boolean };
export type CliStream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** The world of a command: the process, or what a test puts in its place. */
export interface CliIo {
  readonly stdin: CliInput;
  /** Data only. */
  readonly stdout: CliStream;
  /** Talk: errors, progress, hints. */
  readonly stderr: CliStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborts at the first Ctrl-C or SIGTERM. */
  readonly interrupted: AbortSignal;
  /** Milliseconds that only grow. */
  nowMs(): number;
  /** Ends early, without an error, at Ctrl-C. */
  sleep(ms: number): Promise<void>;
  connect(options: StoreOptions): Promise<StoreClient>;
  startServer(config: ServerConfig): Promise<Server>;
}
