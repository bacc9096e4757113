import { randomBytes } from 'node:crypto';
import { assert } from '../base/assert.js';
import { systemClock } from '../base/clock.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { Files } from '../storage/files.js';
import { FolderLock } from '../storage/folder-lock.js';
import { NodeFiles } from '../storage/node-files.js';
import { missingDeltas, withDeltasHint } from './ap/missing-deltas.js';
import type { ServerConfig } from './config.js';
import {
  checkNotGivenUp,
  checkOwner,
  DataFolder,
  type FolderMeta,
  type Meta,
  newMeta,
} from './data-folder.js';
import type { Logger } from './log.js';
import { openStores, type Stores } from './stores.js';

/** What a replica starts from. */
export interface OpenFolder {
  readonly folder: DataFolder;
  readonly meta: Meta;
  readonly stores: Stores;
}

/** Errors that say: the data is not what it was. */
const DAMAGE = new Set(['WAL_CORRUPT', 'STATE_CORRUPT', 'STATE_DIVERGED', 'MEMBER_REMOVED']);

/**
 * Opens the data folder of a replica, or makes a new one. A damaged state is made again from the log when
 * that holds all of it. Other damage ends the start, unless the configuration says `reseed`: then all
 * is moved aside, and the replica begins anew, under a new incarnation, by asking to be let in. It never
 * votes under the old one again, since it may have forgotten a vote.
 */
export async function openFolder(config: ServerConfig, log: Logger): Promise<OpenFolder> {
  // One for all: what a test's disk has not synced is known to it alone.
  const files = await filesOf(config);
  const folder = new DataFolder(config.dataFolder, files);
  const place = { config, log, folder, files };
  try {
    return await open(place);
  } catch (cause) {
    const error = asBalsaError(cause);
    if (error.code === 'DELTAS_CORRUPT') return withoutDeltas({ ...place, error });
    if (!DAMAGE.has(error.code)) throw error;
    if (!config.reseed) throw withHint(error);
    return reseed({ ...place, error });
  }
}

async function filesOf({ unsafeDisk }: ServerConfig): Promise<Files> {
  const files = new NodeFiles();
  if (unsafeDisk === '') return files;
  // No replica of a user has to load it.
  const { DiskFaults } = await import('../storage/disk-faults.js');
  const { FaultyFiles } = await import('../storage/faulty-files.js');
  return new FaultyFiles(files, new DiskFaults(unsafeDisk));
}

/** Where a replica has its data. */
interface Place {
  readonly config: ServerConfig;
  readonly log: Logger;
  readonly folder: DataFolder;
  readonly files: Files;
}

interface DamagedPlace extends Place {
  readonly error: BalsaError;
}

/** What waited to be merged is damaged, or less than it was. The log and the state are whole: with `reseed` they go on without it. */
async function withoutDeltas(options: DamagedPlace): Promise<OpenFolder> {
  const { config, log, folder, error } = options;
  if (!config.reseed) throw withDeltasHint(error);
  const lock = await FolderLock.take(folder.path);
  let movedTo: string;
  try {
    movedTo = folder.setDeltasAside(systemClock.wallMs());
  } finally {
    await lock.release();
  }
  log.warn({ code: error.code, reason: error.message, movedTo }, 'deltas are damaged: moved aside');
  return await open(options);
}

async function open({ config, log, folder, files }: Place): Promise<OpenFolder> {
  // Nothing is made in a folder that is another's.
  refuseToAskNobody(config, claimed(folder, config));
  folder.create();
  const lock = await FolderLock.take(folder.path);
  const { found, discards } = await releasingIfFails(lock, () => {
    // What was read before may be old.
    const known = claimed(folder, config);
    return { found: known, discards: known?.refuses?.code === 'STATE_CORRUPT' };
  });
  let meta: Meta | null = null;
  // The log comes last: no folder has one without an owner.
  const claim = (): void => {
    meta = found === null ? freshMeta(folder, config) : asTold(folder, found, config);
  };
  const state = discards ? 'discard' : found === null ? 'keep' : 'remake';
  const stores = await openStores({ config, folder, lock, log, claim, state, files });
  try {
    const missing = missingDeltas(stores.machine, stores.deltas);
    if (missing !== null) throw missing;
    return { folder, meta: forgive(folder, meta), stores };
  } catch (error) {
    await stores.close();
    throw error;
  }
}

async function releasingIfFails<T>(lock: FolderLock, work: () => T): Promise<T> {
  try {
    return work();
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** The state was made again: there is nothing to hold against it any more. */
function forgive(folder: DataFolder, meta: Meta | null): Meta {
  assert(meta !== null, 'the stores are opened in a folder that has an owner');
  if (meta.refuses === null) return meta;
  const forgiven = { ...meta, refuses: null };
  folder.writeMeta(forgiven);
  return forgiven;
}

/** What the folder of this member says of itself; `null` for a new one. */
function claimed(folder: DataFolder, config: ServerConfig): Meta | null {
  const found = folder.readMeta();
  if (found === null) return null;
  const { cluster, name, dataFolder: path } = config;
  checkOwner(found, { cluster, name, path, members: Object.keys(config.members) });
  if (found.refuses?.code !== 'STATE_CORRUPT') checkNotGivenUp(found, path);
  folder.checkLogIsThere(found);
  return found;
}

function freshMeta(folder: DataFolder, config: ServerConfig): Meta {
  const { cluster, name } = config;
  const meta: Meta = {
    ...newMeta({ cluster, name, incarnation: newIncarnation() }),
    joining: wayIn(config, null),
  };
  folder.writeMeta(meta);
  return meta;
}

/** A folder that never belonged to a cluster can still be told otherwise how to get into one. */
function asTold(folder: DataFolder, meta: Meta, config: ServerConfig): Meta {
  if (isBound(meta)) return meta;
  const joining = wayIn(config, meta.joining);
  if (joining === meta.joining) return meta;
  const told = { ...meta, joining };
  folder.writeMeta(told);
  return told;
}

/**
 * How a disk that belongs to no cluster shall get into one. Whoever waits for a certain place, or to be
 * added, goes on to do so without the flag.
 */
function wayIn(config: ServerConfig, before: Meta['joining']): Meta['joining'] {
  if (before !== null && (before.replaces !== '' || config.reseed)) return before;
  // A disk that is empty knows nothing of the one before: whichever had the name.
  if (config.reseed) return { replaces: '' };
  return config.join ? { replaces: null } : null;
}

function isBound({ clusterId, formation }: Pick<Meta, 'clusterId' | 'formation'>): boolean {
  return clusterId !== null || formation !== null;
}

/** An empty disk that is to be filled by the other members, of whom there are none, would wait for ever. */
function refuseToAskNobody(config: ServerConfig, found: Meta | null): void {
  const { members, name, reseed: isReseed, join, dataFolder } = config;
  if (!isReseed || join || Object.keys(members).some((other) => other !== name)) return;
  if (found !== null && (isBound(found) || found.joining !== null)) return;
  throw new BalsaError(
    'CONFIG_INVALID',
    `${dataFolder} is empty, and --members names no other member that could fill it: leave out --reseed` +
      ' to form a new cluster',
  );
}

function newIncarnation(): string {
  return randomBytes(4).toString('hex');
}

// ---------------------------------------------------------------------------------------------
// Beginning anew

async function reseed(options: DamagedPlace): Promise<OpenFolder> {
  const { config, log, folder, files, error } = options;
  const others = Object.keys(config.members).filter((name) => name !== config.name);
  if (others.length === 0) {
    throw new BalsaError(
      error.code,
      `${error.message}. There is no other member in --members to get it from`,
      {
        cause: error,
        details: error.details,
      },
    );
  }
  const lock = await FolderLock.take(folder.path);
  const meta = await releasingIfFails(lock, () => beginAnew(options));
  const claim = (): void => folder.writeMeta(meta);
  return { folder, meta, stores: await openStores({ config, folder, lock, log, claim, files }) };
}

/** @returns the meta.json of the new beginning */
function beginAnew({ config, log, folder, error }: DamagedPlace): Meta {
  const old = readableMeta(folder);
  const { cluster, name, dataFolder: path } = config;
  if (old !== null) checkOwner(old, { cluster, name, path, members: Object.keys(config.members) });
  // What was acknowledged and is not in the log yet is nowhere else: it goes on with the new data.
  const aside = folder.setAside(systemClock.wallMs());
  folder.create();
  const wasRemoved = old?.refuses?.code === 'MEMBER_REMOVED';
  const meta: Meta = {
    ...newMeta({ cluster, name, incarnation: newIncarnation() }),
    joining: { replaces: wasRemoved ? null : (old?.incarnation ?? '') },
  };
  const incarnations = { former: old?.incarnation ?? null, incarnation: meta.incarnation };
  log.warn(
    { code: error.code, reason: error.message, movedTo: aside, ...incarnations },
    'the data is damaged: it was moved aside, and is asked for again from the other members',
  );
  return meta;
}

function readableMeta(folder: DataFolder): FolderMeta | null {
  try {
    return folder.readMeta();
  } catch (error) {
    if (asBalsaError(error).code === 'STATE_CORRUPT') return null;
    throw error;
  }
}

function withHint(error: BalsaError): BalsaError {
  const message =
    `${error.message}. With other members alive, "balsa start --reseed" moves this data aside (nothing is` +
    ' deleted) and gets it anew from them';
  return new BalsaError(error.code, message, { cause: error, details: error.details });
}
