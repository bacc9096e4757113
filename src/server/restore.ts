import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { assert } from '../base/assert.js';
import { BalsaError } from '../base/errors.js';
import type { SnapshotHeader } from '../base/snapshot-codec.js';
import { formedWith } from '../raft/configuration.js';
import { packConfiguration } from '../raft/configuration-codec.js';
import type { Files } from '../storage/files.js';
import { NodeFiles } from '../storage/node-files.js';
import { removeFolder } from '../storage/remove-folder.js';
import type { StateImport } from '../storage/snapshot.js';
import { type BackupPart, readBackup } from './backup-file.js';
import { DataFolder, META_FILE, RESTORING } from './data-folder.js';
import { clusterIdOf } from './formation.js';
import { memberId } from './member-id.js';
import { appendOffline, type OfflineDisk, openOfflineStores, resetOffline } from './offline.js';
import type { Stores } from './stores.js';

export interface RestoreOptions {
  /** The backup. */
  readonly file: string;
  /** The data folder to make; it must not exist, or be empty. */
  readonly path: string;
  /** The one member of the new cluster. */
  readonly name: string;
  readonly cluster: string;
  /** Called now and then with the bytes read so far. */
  readonly onRead?: (bytes: number) => void;
}

export interface Restored {
  readonly header: SnapshotHeader;
  readonly clusterId: string;
  readonly incarnation: string;
}

/** The system has this in every volume that is empty. */
const LOST_AND_FOUND = 'lost+found';

/**
 * Makes the data folder of a *new* cluster, with one voter, from a backup. It is another cluster
 * than the one the backup was made of, with an id of its own: members of that one are no members of this.
 * The folder has its name only when it is whole and durable. One that was there before, and may be a volume, is filled in
 * place: no replica starts in it before it is whole.
 *
 * @throws BalsaError `DATA_FOLDER_UNUSABLE` when the folder is not empty, `FILE_UNREADABLE`,
 *   `FILE_INVALID`, `SNAPSHOT_CORRUPT`, `VERSION_UNSUPPORTED`, `DISK_FULL`
 */
export async function restore(
  options: RestoreOptions,
  { files = new NodeFiles(), ...disk }: OfflineDisk = {},
): Promise<Restored> {
  const path = resolve(options.path);
  const isThere = await refuseUnlessEmpty(path);
  const unfinished = isThere ? join(path, RESTORING) : path + RESTORING;
  let isMoving = false;
  try {
    // What an earlier attempt left.
    await removeFolder(files, unfinished);
    const restored = await fill(unfinished, options, { ...disk, files });
    await syncAll(files, unfinished);
    isMoving = isThere;
    if (isThere) await moveInto(files, unfinished, path);
    else nameFolder(files, unfinished, path);
    return restored;
  } catch (error) {
    // As long as a part of it may lie in the folder, this keeps replicas from starting there.
    if (isMoving) throw halfMoved(error, path);
    await removeFolder(files, unfinished);
    throw usable(error, path);
  }
}

/** @returns false: there is no such folder */
async function refuseUnlessEmpty(path: string): Promise<boolean> {
  const found = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw usable(error, path);
  });
  if (found === null) return false;
  const names = found.filter((name) => name !== LOST_AND_FOUND && name !== RESTORING);
  if (names.length === 0) return true;
  throw new BalsaError(
    'DATA_FOLDER_UNUSABLE',
    `${path} is not empty (${names.slice(0, 3).join(', ')}): a restored replica needs a folder of its own`,
    { details: { file: path } },
  );
}

async function fill(
  path: string,
  options: RestoreOptions,
  disk: OfflineDisk & { readonly files: Files },
): Promise<Restored> {
  const { name, cluster } = options;
  const folder = new DataFolder(path, disk.files);
  folder.create();
  const self = { name, incarnation: randomBytes(4).toString('hex') };
  const clusterId = clusterIdOf(cluster, [self]);
  const claim = (): void => folder.writeMeta({ ...self, cluster, clusterId, formation: [self] });
  const stores = await openOfflineStores(folder, claim, disk);
  try {
    const header = await importBackup(stores, options);
    await beginLog(stores, header, memberId(self));
    return { header, clusterId, incarnation: self.incarnation };
  } finally {
    await stores.close();
  }
}

async function importBackup(
  { vault }: Stores,
  { file, onRead }: RestoreOptions,
): Promise<SnapshotHeader> {
  let target: StateImport | null = null;
  for await (const part of readBackup(file)) {
    if (part.type === 'header') target = await vault.beginImport(part.header);
    else if (target !== null) await take(target, part);
    onRead?.(part.offset);
  }
  assert(target !== null, 'a backup that was read to its end has a header');
  await vault.switchTo(target);
  return target.header;
}

async function take(
  target: StateImport,
  part: Exclude<BackupPart, { readonly type: 'header' }>,
): Promise<void> {
  if (part.type === 'chunk') await target.write(part.chunk);
  else await target.finish(part.end);
}

/** The log begins behind the backup, with the entry that says who votes now. */
async function beginLog({ logStore }: Stores, header: SnapshotHeader, self: string): Promise<void> {
  const { position } = header;
  await resetOffline(logStore, position);
  const term = position.term + 1;
  const payload = packConfiguration(formedWith([self]));
  await appendOffline(logStore, {
    sequence: 1,
    hardState: { currentTerm: term, votedFor: self, commitIndex: position.index },
    entries: [{ index: position.index + 1, term, type: 'configuration', payload }],
  });
}

/**
 * All that is in the folder is durable. LevelDB does not sync what it writes when it is opened and closed,
 * and a folder with a whole name and half a state in it would be worse than none.
 */
async function syncAll(files: Files, folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await syncAll(files, path);
    else syncFile(files, path);
  }
  files.syncFolder(folder);
}

function syncFile(files: Files, path: string): void {
  const file = files.open(path);
  try {
    file.sync();
  } finally {
    file.close();
  }
}

/** Atomic, and durable when it returns. */
function nameFolder(files: Files, unfinished: string, path: string): void {
  files.rename(unfinished, path);
  files.syncFolder(dirname(path));
}

/** Whose data it is comes last: a folder without that, but with a log, is not started in. */
async function moveInto(files: Files, unfinished: string, path: string): Promise<void> {
  const move = (name: string): void => files.rename(join(unfinished, name), join(path, name));
  const names = await readdir(unfinished);
  for (const name of names.filter((one) => one !== META_FILE)) move(name);
  files.syncFolder(path);
  move(META_FILE);
  files.syncFolder(path);
  await removeFolder(files, unfinished);
}

function halfMoved(cause: unknown, path: string): BalsaError {
  return new BalsaError(
    'DATA_FOLDER_UNUSABLE',
    `${path} has a part of the backup (${cause}): empty the folder, and restore the backup again`,
    { cause, details: { file: path } },
  );
}

function usable(error: unknown, path: string): unknown {
  if (error instanceof BalsaError || !(error instanceof Error) || !('code' in error)) return error;
  const isFull = error.code === 'ENOSPC' || error.code === 'EDQUOT';
  return new BalsaError(
    isFull ? 'DISK_FULL' : 'DATA_FOLDER_UNUSABLE',
    `the folder ${path} cannot be made: ${error.message}`,
    { cause: error, details: { file: path } },
  );
}
