import type { BalsaError } from '../base/errors.js';
import type { ReplicaStatus } from '../rpc/protocol.js';
import type { ServerConfig } from './config.js';
import { createLogger, type Logger } from './log.js';
import { Member } from './member.js';
import { openFolder } from './open-folder.js';

export type { ServerConfig } from './config.js';
export { type ConfigSources, type LoadedConfig, loadConfig } from './load-config.js';

/** A running replica. */
export interface Server {
  readonly name: string;
  /** `host:port` that it listens on. */
  readonly address: string;
  status(): ReplicaStatus;
  /** Resolves when the replica has stopped: `null` after `close`, else the error that stopped it. */
  readonly stopped: Promise<BalsaError | null>;
  /** Answers what is in flight, lets the files go, stops. */
  close(): Promise<void>;
}

/**
 * Starts one replica in this process.
 *
 * ```ts
 * import { loadConfig, startServer } from 'balsa/server';
 *
 * const flags = { name: 'n1', members: 'n1=127.0.0.1:7001', data: './n1' }; // as of `balsa start`
 * const { config } = loadConfig({ flags, env: process.env });
 * const server = await startServer(config);
 * await server.stopped;
 * ```
 *
 * @throws BalsaError `CONFIG_INVALID`, `PORT_IN_USE`, `ADDRESS_UNUSABLE`, `DATA_FOLDER_IN_USE`,
 *   `DATA_FOLDER_MISMATCH`, `DATA_FOLDER_UNUSABLE`, `WAL_CORRUPT`, `STATE_CORRUPT`, `DISK_FULL`,
 *   `DISK_FAILED`, `VERSION_UNSUPPORTED`, `MEMBER_REMOVED`, `STATE_DIVERGED`
 */
export async function startServer(config: ServerConfig, logger?: Logger): Promise<Server> {
  const log = logger ?? createLogger({ level: config.logLevel, replica: config.name });
  const opened = await openFolder(config, log);
  try {
    return await Member.start({ ...opened, config, log });
  } catch (error) {
    await opened.stores.close();
    throw error;
  }
}
