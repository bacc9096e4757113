import { realpathSync } from 'node:fs';
import { systemClock } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import { type Failpoints, noFailpoints } from '../base/failpoints.js';
import { StateMachine } from '../statemachine/state-machine.js';
import type { StateStore } from '../statemachine/state-store.js';
import { FailpointSet } from '../storage/failpoint-set.js';
import { LevelStateStore } from '../storage/level-state-store.js';
import type { LogStore } from '../storage/log-store.js';
import { NodeFiles } from '../storage/node-files.js';
import { Wal } from '../storage/wal/wal.js';
import type { ServerConfig } from './config.js';
import type { DataFolder } from './data-folder.js';
import type { Logger } from './log.js';

/** What a replica has on its disk, open. */
export interface Stores {
  readonly logStore: LogStore;
  readonly stateStore: StateStore;
  readonly machine: StateMachine;
  readonly failpoints: Failpoints;
  close(): Promise<void>;
}

/**
 * Opens the log and the state, and checks that they fit each other.
 * @throws BalsaError `DATA_FOLDER_IN_USE`, `DATA_FOLDER_UNUSABLE`, `WAL_CORRUPT`, `STATE_CORRUPT`,
 *   `DISK_FULL`, `VERSION_UNSUPPORTED`
 */
export async function openStores(options: OpenOptions): Promise<Stores> {
  const release = claimFolder(options.folder.path);
  try {
    // One set for all stores: each failpoint counts its hits once.
    const failpoints = failpointsOf(options.config);
    const stateStore = await openState(options, failpoints);
    try {
      options.claim();
      return await openLog(options, { stateStore, failpoints, release });
    } catch (error) {
      await stateStore.close();
      throw error;
    }
  } catch (error) {
    release();
    throw error;
  }
}

interface OpenOptions {
  readonly config: ServerConfig;
  readonly folder: DataFolder;
  readonly log: Logger;
  /** Called while the folder is locked, and before there is a log in it. */
  readonly claim: () => void;
}

/** Folders in use by this process: LevelDB's lock only keeps other processes out. */
const claimed = new Set<string>();

function claimFolder(path: string): () => void {
  const real = realpathSync(path);
  if (claimed.has(real)) {
    throw new BalsaError('DATA_FOLDER_IN_USE', `this process already runs a replica on ${path}`, {
      details: { file: path },
    });
  }
  claimed.add(real);
  return () => claimed.delete(real);
}

function failpointsOf(config: ServerConfig): Failpoints {
  return config.unsafeFailpoints === ''
    ? noFailpoints
    : FailpointSet.parse(config.unsafeFailpoints);
}

function openState(
  { config, folder }: OpenOptions,
  failpoints: Failpoints,
): Promise<LevelStateStore> {
  return LevelStateStore.open({
    folder: folder.stateFolder,
    limits: config.limits,
    failpoints,
    clock: systemClock,
  });
}

async function openLog(
  { config, folder, log }: OpenOptions,
  opened: {
    readonly stateStore: LevelStateStore;
    readonly failpoints: Failpoints;
    readonly release: () => void;
  },
): Promise<Stores> {
  const { stateStore, failpoints, release } = opened;
  const wal = Wal.open({
    folder: folder.walFolder,
    files: new NodeFiles(),
    failpoints,
    limits: config.limits,
    clock: systemClock,
  });
  for (const repair of wal.repairs) {
    log.warn({ repair }, 'cut a torn write off the end of the log');
  }
  const { lastIndex } = wal.restored;
  checkFit({ lastIndex, appliedIndex: stateStore.restoredIndex, folder: folder.path });
  const machine = await StateMachine.open(stateStore);
  const close = async (): Promise<void> => {
    try {
      await wal.close();
    } finally {
      await stateStore.close().finally(release);
    }
  };
  return { logStore: wal, stateStore, machine, failpoints, close };
}

/** The state is never ahead of the log, unless a part of the log is gone. */
function checkFit(found: { lastIndex: number; appliedIndex: number; folder: string }): void {
  if (found.appliedIndex <= found.lastIndex) return;
  throw new BalsaError(
    'STATE_CORRUPT',
    `in ${found.folder} the state holds log entry ${found.appliedIndex}, but the log ends at ${found.lastIndex}:` +
      ' a part of the log is missing. Put the folder wal/ back; do not start without it',
    { details: { ...found } },
  );
}
