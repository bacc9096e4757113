import { BalsaError } from '../base/errors.js';
import type { Failpoints } from '../base/failpoints.js';
import { LIMITS, type Limits } from '../base/limits.js';
import { unpackConfiguration } from '../raft/configuration-codec.js';
import type { Configuration, DiskWrite, LogPosition } from '../raft/types.js';
import type { Files } from '../storage/files.js';
import { FolderLock } from '../storage/folder-lock.js';
import type { LogStore } from '../storage/log-store.js';
import { NodeFiles } from '../storage/node-files.js';
import { DataFolder, type FolderMeta } from './data-folder.js';
import { formedConfiguration } from './formation.js';
import { createLogger } from './log.js';
import { openStores, type Stores } from './stores.js';

/** The data folder of a replica that does not run, held open so that none can be started on it. */
export interface OfflineReplica {
  readonly folder: DataFolder;
  readonly meta: FolderMeta;
  readonly stores: Stores;
}

/** For tests: the disk that is worked on, and what happens on it. */
export interface OfflineDisk {
  readonly files?: Files;
  readonly failpoints?: Failpoints;
  readonly limits?: Limits;
}

/**
 * Opens the folder of a replica that was stopped.
 * @throws BalsaError `DATA_FOLDER_IN_USE` while it runs, `DATA_FOLDER_UNUSABLE`, `WAL_CORRUPT`,
 *   `STATE_CORRUPT`, `VERSION_UNSUPPORTED`
 */
export async function openOffline(path: string): Promise<OfflineReplica> {
  const folder = new DataFolder(path, new NodeFiles());
  const meta = metaOf(folder);
  folder.checkLogIsThere(meta);
  const stores = await openOfflineStores(folder, () => undefined);
  try {
    // What was read before the lock was held may be old.
    return { folder, meta: metaOf(folder), stores };
  } catch (error) {
    await stores.close();
    throw error;
  }
}

function metaOf(folder: DataFolder): FolderMeta {
  const meta = folder.readMeta();
  if (meta !== null) return meta;
  throw new BalsaError(
    'DATA_FOLDER_UNUSABLE',
    `${folder.path} is not the data folder of a replica: it has no meta.json`,
    { details: { file: folder.path } },
  );
}

/** @param claim called while the folder is locked, and before there is a log in it */
export async function openOfflineStores(
  folder: DataFolder,
  claim: () => void,
  { limits = LIMITS, ...disk }: OfflineDisk = {},
): Promise<Stores> {
  return await openStores({
    ...disk,
    config: { limits, unsafeFailpoints: '' },
    folder,
    lock: await FolderLock.take(folder.path),
    log: createLogger({ level: 'silent', replica: '' }),
    claim,
  });
}

/**
 * All configurations that may still count: the latest applied one, and those behind it in the log, the
 * last of which is the one in effect.
 */
export function knownConfigurations({ meta, stores }: OfflineReplica): Configuration[] {
  const applied = stores.machine.configuration;
  const base =
    applied === null
      ? formedConfiguration(meta.formation ?? [])
      : unpackConfiguration(applied.payload, applied.index);
  const later = stores.restoredLog.configurationEntries.filter((entry) => entry.index > base.index);
  return [base, ...later.map((entry) => unpackConfiguration(entry.payload, entry.index))];
}

/** The last place of the log, and its term. */
export function lastPosition({ restoredLog }: Stores): LogPosition {
  const { lastIndex, terms, logStart } = restoredLog;
  const run = terms.findLast((first) => first.index <= lastIndex);
  return { index: lastIndex, term: run?.term ?? logStart.term };
}

/** Durable when it resolves. */
export function appendOffline(logStore: LogStore, write: DiskWrite): Promise<void> {
  return settled((done) => logStore.append(write, done));
}

export function resetOffline(logStore: LogStore, position: LogPosition): Promise<void> {
  return settled((done) => logStore.resetTo(position, done));
}

function settled(work: (done: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    work((error) => (error === null ? resolve() : reject(error)));
  });
}
