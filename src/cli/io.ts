import type { Readable, Writable } from 'node:stream';
import type { ServerConfig } from '../server/config.js';
import type { Server } from '../server/server.js';
import type { StoreClient, StoreOptions } from './store-client.js';

export type CliInput = Readable & { readonly isTTY?: boolean };
export type CliStream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** A command of the machine that is run for the user. */
export interface Child {
  readonly command: readonly string[];
  /** Added to our own environment. */
  readonly env: Readonly<Record<string, string>>;
  /** What it reads from stdin; `null`: ours. */
  readonly input: Uint8Array | null;
  /** Asks it to end (SIGTERM). */
  readonly signal: AbortSignal;
}

/** `exit`: its exit code, 128 and the number of the signal that ended it, or 127: it is not there. */
export interface ChildEnd {
  readonly exit: number;
}

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
  /** Runs a command of the machine; its output goes where ours goes. */
  runChild(child: Child): Promise<ChildEnd>;
  startServer(config: ServerConfig): Promise<Server>;
}
