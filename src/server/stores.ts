import { systemClock } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import { type Failpoints, noFailpoints } from '../base/failpoints.js';
import { StateMachine } from '../statemachine/state-machine.js';
import type { StateStore } from '../statemachine/state-store.js';
import { closeAll } from '../storage/close-all.js';
import { DELTA_SEGMENT_BYTES, DeltaQueue } from '../storage/delta-queue.js';
import { FailpointSet } from '../storage/failpoint-set.js';
import type { Files } from '../storage/files.js';
import type { FolderLock } from '../storage/folder-lock.js';
import { LevelStateVault } from '../storage/level-state-vault.js';
import type { LogStore, RestoredLog } from '../storage/log-store.js';
import { NodeFiles } from '../storage/node-files.js';
import type { StateVault } from '../storage/snapshot.js';
import { Wal } from '../storage/wal/wal.js';
import type { ServerConfig } from './config.js';
import type { DataFolder } from './data-folder.js';
import { finishInstall } from './finish-install.js';
import { ownFormats } from './formats.js';
import type { Logger } from './log.js';

/** What a replica has on its disk, open. */
export interface Stores {
  readonly logStore: LogStore;
  /** What the log holds. */
  readonly restoredLog: RestoredLog;
  readonly vault: StateVault;
  /** Over the state that the vault held when it was opened. */
  readonly machine: StateMachine;
  readonly openMachine: (store: StateStore) => Promise<StateMachine>;
  /** What `ap` calls made here and others copied to here. */
  readonly deltas: DeltaQueue;
  /** Called once, when the disk of the deltas has failed. */
  onDeltasFailed(listener: (error: BalsaError) => void): void;
  readonly failpoints: Failpoints;
  close(): Promise<void>;
}

export interface OpenOptions {
  readonly config: Pick<ServerConfig, 'limits' | 'unsafeFailpoints'> &
    Partial<Pick<ServerConfig, 'unsafeFormats'>>;
  readonly folder: DataFolder;
  /** Of the folder. It is released when the stores are closed, and when they cannot be opened. */
  readonly lock: FolderLock;
  readonly log: Logger;
  /** Called when there is a state, and before there is a log. */
  readonly claim: () => void;
  /**
   * What is done with a state that is damaged: `keep` (default) leaves it and fails; `remake` moves it aside
   * when the log holds all that it was made of, and `discard` does so with a state that looks whole, too.
   */
  readonly state?: 'keep' | 'remake' | 'discard';
  /** Default: the disks of this machine. */
  readonly files?: Files;
  /** Default: those of `config`. */
  readonly failpoints?: Failpoints;
}

/**
 * Opens the log and the state, and checks that they fit each other.
 * @throws BalsaError `DATA_FOLDER_IN_USE`, `DATA_FOLDER_UNUSABLE`, `WAL_CORRUPT`, `STATE_CORRUPT`,
 *   `DELTAS_CORRUPT`, `DISK_FULL`, `VERSION_UNSUPPORTED`
 */
export async function openStores(options: OpenOptions): Promise<Stores> {
  try {
    // One set for all stores: each failpoint counts its hits once.
    const failpoints = options.failpoints ?? failpointsOf(options.config);
    const vault = await openState(options, failpoints);
    try {
      options.claim();
      return await openRest(options, { vault, failpoints });
    } catch (error) {
      await vault.close().catch(() => {});
      throw error;
    }
  } catch (error) {
    await options.lock.release();
    throw error;
  }
}

function failpointsOf(config: OpenOptions['config']): Failpoints {
  return config.unsafeFailpoints === ''
    ? noFailpoints
    : FailpointSet.parse(config.unsafeFailpoints);
}

async function openState(options: OpenOptions, failpoints: Failpoints): Promise<LevelStateVault> {
  const { state = 'keep' } = options;
  try {
    const vault = await openVault(options, failpoints);
    if (state !== 'discard') return vault;
    await vault.close();
  } catch (error) {
    const isDamaged = error instanceof BalsaError && error.code === 'STATE_CORRUPT';
    if (!isDamaged || state === 'keep') throw error;
    if (!(await logBeginsAtFirst(options))) throw error;
    options.log.warn({ reason: error.message }, 'the state is damaged');
  }
  if (!(await logBeginsAtFirst(options))) {
    throw new BalsaError(
      'STATE_CORRUPT',
      `the state in ${options.folder.path} is damaged, and the log no longer holds all that it was made of`,
      { details: { file: options.folder.path } },
    );
  }
  const aside = options.folder.asideFolder(systemClock.wallMs());
  const moved = LevelStateVault.moveAside(filesOf(options), options.folder.path, aside);
  options.log.warn({ moved, to: aside }, 'the state is made again from the log');
  return openVault(options, failpoints);
}

function filesOf({ files }: OpenOptions): Files {
  return files ?? new NodeFiles();
}

function openVault(options: OpenOptions, failpoints: Failpoints) {
  const { config, folder } = options;
  return LevelStateVault.open({
    folder: folder.path,
    files: filesOf(options),
    limits: config.limits,
    failpoints,
    clock: systemClock,
  });
}

function openWal(options: OpenOptions, failpoints: Failpoints): Wal {
  const { config, folder } = options;
  return Wal.open({
    folder: folder.walFolder,
    files: filesOf(options),
    failpoints,
    limits: config.limits,
    clock: systemClock,
  });
}

/** Then the state is a function of the log, and losing it loses nothing. */
async function logBeginsAtFirst(options: OpenOptions): Promise<boolean> {
  if (filesOf(options).list(options.folder.walFolder).length === 0) return false;
  const wal = openWal(options, noFailpoints);
  await wal.close();
  return wal.restored.logStart.index === 0 && wal.restored.lastIndex > 0;
}

interface Opened {
  readonly vault: LevelStateVault;
  readonly failpoints: Failpoints;
}

async function openRest(options: OpenOptions, opened: Opened): Promise<Stores> {
  const wal = openWal(options, opened.failpoints);
  try {
    return await openWith(wal, options, opened);
  } catch (error) {
    // Who opens the folder again (without damaged deltas) must be alone with it.
    await wal.close();
    throw error;
  }
}

async function openWith(wal: Wal, options: OpenOptions, opened: Opened): Promise<Stores> {
  const { vault, failpoints } = opened;
  const { config, folder, lock, log } = options;
  for (const repair of wal.repairs) {
    log.warn({ repair }, 'cut a torn write off the end of the log');
  }
  const restoredLog = await finishInstall(vault, wal);
  checkFit(restoredLog, vault.current.restoredIndex, folder);
  const { command: commandVersionMax } = ownFormats(config.unsafeFormats ?? '');
  // What decides what is applied is no matter of the configuration; how much a read answers is.
  const { rangePageKeysMax, rangePageBytesMax } = config.limits;
  const own = { commandVersionMax, rangePageKeysMax, rangePageBytesMax };
  const openMachine = (store: StateStore): Promise<StateMachine> => StateMachine.open(store, own);
  const machine = await openMachine(vault.current);
  const { deltas, onDeltasFailed } = openDeltas(options, failpoints);
  const close = async (): Promise<void> => {
    const all = closeAll(
      () => deltas.close(),
      () => wal.close(),
      () => vault.close(),
    );
    await all.finally(() => lock.release());
  };
  const rest = { deltas, onDeltasFailed, failpoints, close };
  return { logStore: wal, restoredLog, vault, machine, openMachine, ...rest };
}

function openDeltas(
  options: OpenOptions,
  failpoints: Failpoints,
): Pick<Stores, 'deltas' | 'onDeltasFailed'> {
  const { folder, log } = options;
  let failed = ({ message: reason }: BalsaError): void => log.error({ reason }, 'deltas failed');
  const deltas = DeltaQueue.open({
    folder: folder.deltasFolder,
    files: filesOf(options),
    failpoints,
    clock: systemClock,
    segmentBytes: Math.min(DELTA_SEGMENT_BYTES, options.config.limits.walSegmentBytes),
    onFailure: (error) => failed(error),
  });
  for (const repair of deltas.repairs) {
    log.warn({ repair }, 'cut a torn write off the end of the deltas');
  }
  const onDeltasFailed = (listener: (error: BalsaError) => void): void => {
    failed = listener;
  };
  return { deltas, onDeltasFailed };
}

/** The state is never ahead of the log, nor is there a gap between the two, unless a part is gone. */
function checkFit(log: RestoredLog, appliedIndex: number, folder: DataFolder): void {
  const { lastIndex, logStart } = log;
  if (logStart.index <= appliedIndex && appliedIndex <= lastIndex) return;
  const { path, walFolder } = folder;
  const found = `in ${path} the state holds log entry ${appliedIndex}, but the log in ${walFolder}`;
  const message =
    appliedIndex > lastIndex
      ? `${found} ends at ${lastIndex}: a part of the log is missing. Put that folder back; do not` +
        ' start without it'
      : `${found} begins behind entry ${logStart.index}: the state is an old one. Put the right one back`;
  throw new BalsaError('STATE_CORRUPT', message, {
    details: { folder: path, appliedIndex, lastIndex, logStart: logStart.index },
  });
}
