import { randomBytes } from 'node:crypto';
import { assert } from '../base/assert.js';
import type { BalsaError } from '../base/errors.js';
import type { ReplicaStatus } from '../rpc/protocol.js';
import { NodeFiles } from '../storage/node-files.js';
import type { ServerConfig } from './config.js';
import { checkOwner, DataFolder, type FolderMeta } from './data-folder.js';
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
  // Nothing is made in a folder that is another's.
  claimed(folder, config);
  folder.create();
  let meta: Meta | null = null;
  // LevelDB's lock on the folder comes first: nothing may be written beside another process, and
  // what was read before may be old. The log comes last: no folder has one without an owner.
  const claim = (): void => {
    meta = claimed(folder, config) ?? newMeta(folder, config);
  };
  const stores = await openStores({ config, folder, log, claim });
  try {
    assert(meta !== null, 'the stores are opened in a folder that has an owner');
    return await Member.start({ config, folder, meta, stores, log });
  } catch (error) {
    await stores.close();
    throw error;
  }
}

type Meta = Omit<FolderMeta, 'format'>;

/** What the folder of this member says of itself; `null` for a new one. */
function claimed(folder: DataFolder, config: ServerConfig): Meta | null {
  const found = folder.readMeta();
  if (found === null) return null;
  const { cluster, name, dataFolder: path } = config;
  checkOwner(found, { cluster, name, path, members: Object.keys(config.members) });
  folder.checkLogIsThere(found);
  return found;
}

function newMeta(folder: DataFolder, { cluster, name }: ServerConfig): Meta {
  const incarnation = randomBytes(4).toString('hex');
  const meta: Meta = { cluster, name, incarnation, clusterId: null, formation: null };
  folder.writeMeta(meta);
  return meta;
}
