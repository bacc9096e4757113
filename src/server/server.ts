import { randomBytes } from 'node:crypto';
import type { BalsaError } from '../base/errors.js';
import type { ReplicaStatus } from '../rpc/protocol.js';
import { NodeFiles } from '../storage/node-files.js';
import type { ServerConfig } from './config.js';
import { checkOwner, DataFolder } from './data-folder.js';
import { createLogger, type Logger } from './log.js';
import { Member } from './member.js';
import { openStores } from './stores.js';

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
 * import { startServer } from 'balsa/server';
 * const server = await startServer(config);
 * await server.stopped;
 * ```
 *
 * @throws BalsaError `CONFIG_INVALID`, `PORT_IN_USE`, `ADDRESS_UNUSABLE`, `DATA_FOLDER_IN_USE`,
 *   `DATA_FOLDER_MISMATCH`, `DATA_FOLDER_UNUSABLE`, `WAL_CORRUPT`, `STATE_CORRUPT`, `DISK_FULL`,
 *   `DISK_FAILED`, `VERSION_UNSUPPORTED`
 */
export async function startServer(config: ServerConfig, logger?: Logger): Promise<Server> {
  const log = logger ?? createLogger({ level: config.logLevel, replica: config.name });
  const folder = new DataFolder(config.dataFolder, new NodeFiles());
  const owner = { cluster: config.cluster, name: config.name, path: config.dataFolder };
  const found = folder.readMeta();
  if (found !== null) checkOwner(found, owner);
  folder.create();
  // LevelDB's lock on the folder comes first: nothing may be written beside another process.
  const stores = await openStores({ config, folder, log });
  try {
    const meta = found ?? {
      cluster: config.cluster,
      name: config.name,
      incarnation: randomBytes(4).toString('hex'),
      clusterId: null,
      formation: null,
    };
    if (found === null) folder.writeMeta(meta);
    return await Member.start({ config, folder, meta, stores, log });
  } catch (error) {
    await stores.close();
    throw error;
  }
}
