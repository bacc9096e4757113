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
export async function openStores(options: {
  config: ServerConfig;
  folder: DataFolder;
  log: Logger;
}): Promise<Stores> {
  const { config, folder, log } = options;
  const { limits } = config;
  const failpoints =
    config.unsafeFailpoints === '' ? noFailpoints : FailpointSet.parse(config.unsafeFailpoints);
  const stateStore = await LevelStateStore.open({
    folder: folder.stateFolder,
    limits,
    failpoints,
    clock: systemClock,
  });
  try {
    const wal = Wal.open({
      folder: folder.walFolder,
      files: new NodeFiles(),
      failpoints,
      limits,
      clock: systemClock,
    });
    for (const repair of wal.repairs)
      log.warn({ repair }, 'cut a torn write off the end of the log');
    checkFit({
      lastIndex: wal.restored.lastIndex,
      appliedIndex: stateStore.restoredIndex,
      folder: folder.path,
    });
    const machine = await StateMachine.open(stateStore);
    const close = async (): Promise<void> => {
      await wal.close();
      await stateStore.close();
    };
    return { logStore: wal, stateStore, machine, failpoints, close };
  } catch (error) {
    await stateStore.close();
    throw error;
  }
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
