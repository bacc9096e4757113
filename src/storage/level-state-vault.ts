import { assert } from '../base/assert.js';
import { type Clock, systemClock } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import { type Failpoints, noFailpoints } from '../base/failpoints.js';
import type { Limits } from '../base/limits.js';
import type { LogPosition } from '../raft/types.js';
import { closeAll } from './close-all.js';
import { toDiskError, toFolderError } from './disk-error.js';
import type { Files } from './files.js';
import { stateCorrupt } from './flush-markers.js';
import { isSameSnapshot } from './import-check.js';
import { toLevelError } from './level-errors.js';
import { LevelImport } from './level-import.js';
import type { ScrubRate } from './level-scrub.js';
import { LevelStateStore } from './level-state-store.js';
import { removeFolder } from './remove-folder.js';
import type { SnapshotHeader, StateImport, StateVault } from './snapshot.js';
import {
  POINTER_FILE,
  pointerCorrupt,
  readPointer,
  type StatePointer,
  writePointer,
} from './state-pointer.js';

export interface LevelStateVaultOptions {
  /** The replica's data folder; it must exist. */
  readonly folder: string;
  readonly files: Files;
  readonly limits: Pick<Limits, 'overlayBytesMax'> &
    Partial<Pick<Limits, 'scrubBytesPerSecondMax' | 'scrubIntervalMs'>>;
  readonly failpoints?: Failpoints;
  readonly clock?: Clock;
}

/**
 * The state in LevelDB, in folders of the data folder:
 *
 *     state.json             which of the folders is the state
 *     state-<n>/             the state
 *     state-<n+1>.incoming/  a snapshot that is being received
 *
 * What is there beside these was left by a crash, and is deleted when the vault is opened.
 */
export class LevelStateVault implements StateVault {
  readonly #options: Required<LevelStateVaultOptions>;
  #pointer: StatePointer;
  #current: LevelStateStore;
  #import: LevelImport | null = null;
  /** Imports are begun one by one. */
  #beginning: Promise<unknown> = Promise.resolve();
  /** Old states are being closed and deleted. */
  #retiring: Promise<unknown> = Promise.resolve();
  #retiringFailed: BalsaError | null = null;

  /**
   * Opens the state, or makes an empty one.
   * @throws BalsaError `DATA_FOLDER_IN_USE`, `STATE_CORRUPT`, `DATA_FOLDER_UNUSABLE`, `DISK_FULL`
   */
  static async open(options: LevelStateVaultOptions): Promise<LevelStateVault> {
    const all = { failpoints: noFailpoints, clock: systemClock, ...options };
    const { files, folder } = all;
    const pointer = guard(folder, () => findState(files, folder));
    const current = await openState(all, pointer, true);
    try {
      await removeLeftovers(files, folder, pointer.folder);
    } catch (error) {
      await current.abandon();
      throw error;
    }
    return new LevelStateVault(all, pointer, current);
  }

  /**
   * Moves the state out of the way, whatever is wrong with it: the next {@link open} makes an empty one,
   * which is filled again from the log if that begins at entry 1, or by a snapshot. No vault may be open.
   * @param target a folder on the same disk, made if need be
   * @returns the folders that were moved
   */
  static moveAside(files: Files, folder: string, target: string): string[] {
    return guard(folder, () => {
      const names = files.list(folder).filter((name) => stateNumber(name) !== null);
      // The pointer last: without it, and with states, the folder would be taken for damaged.
      if (files.exists(`${folder}/${POINTER_FILE}`)) names.push(POINTER_FILE);
      files.makeFolder(target);
      for (const name of names) files.rename(`${folder}/${name}`, `${target}/${name}`);
      files.syncFolder(target);
      files.syncFolder(folder);
      return names;
    });
  }

  private constructor(
    options: Required<LevelStateVaultOptions>,
    pointer: StatePointer,
    current: LevelStateStore,
  ) {
    this.#options = options;
    this.#pointer = pointer;
    this.#current = current;
  }

  get current(): LevelStateStore {
    return this.#current;
  }

  get installed(): LogPosition | null {
    return this.#pointer.installed;
  }

  beginImport(header: SnapshotHeader): Promise<StateImport> {
    const begun = this.#beginning.then(() => this.#begin(header));
    this.#beginning = begun.catch(() => {});
    return begun;
  }

  async switchTo(
    finished: StateImport,
    adopt: (store: LevelStateStore) => Promise<void> = async () => {},
  ): Promise<LevelStateStore> {
    const incoming = this.#import;
    assert(incoming !== null && incoming === finished, 'the import under way is switched to');
    assert(incoming.isFinished, 'a state is switched to when all of it is durable');
    const { files, folder, failpoints } = this.#options;
    const old = { store: this.#current, folder: this.#pointer.folder };
    const name = stateName(this.#nextNumber);
    const pointer = { folder: name, installed: finished.header.position };
    guardDisk(folder, () => {
      failpoints.hit('snapshot.before-switch');
      makeCurrent(files, folder, { from: incoming.folder, pointer });
      failpoints.hit('snapshot.after-switch');
    });
    incoming.end();
    this.#import = null;
    this.#pointer = pointer;
    // Just written, and every chunk of it was checked.
    const current = await openState(this.#options, pointer, false);
    this.#current = current;
    try {
      await adopt(current);
    } finally {
      this.#retire(old);
    }
    return current;
  }

  /**
   * Closes a state that is not the current one any more, and deletes it. LevelDB may have to end what it has begun, which can take
   * longer than a follower may be silent: only {@link close} waits for it.
   */
  #retire({ store, folder: name }: OldState): void {
    const { files, folder } = this.#options;
    const path = `${folder}/${name}`;
    const retired = store.abandon().then(
      // What is left of it is deleted at the next start.
      () => removeFolder(files, path).catch(() => {}),
      (error: unknown) => {
        this.#retiringFailed ??= toLevelError(error, path);
      },
    );
    this.#retiring = Promise.all([this.#retiring, retired]);
  }

  async #retireAll(): Promise<void> {
    await this.#retiring;
    if (this.#retiringFailed !== null) throw this.#retiringFailed;
  }

  async close(): Promise<void> {
    await this.#beginning;
    await closeAll(
      () => this.#import?.abandon(),
      () => this.#current.close(),
      () => this.#retireAll(),
    );
  }

  async #begin(header: SnapshotHeader): Promise<LevelImport> {
    const before = this.#import;
    if (before !== null) {
      if (!before.isGivenUp && isSameSnapshot(before.header, header)) return before;
      await before.abandon();
      this.#import = null;
    }
    const { files, failpoints } = this.#options;
    const folder = `${this.#options.folder}/${stateName(this.#nextNumber)}${INCOMING_SUFFIX}`;
    await removeFolder(files, folder);
    this.#import = await LevelImport.begin(header, { folder, files, failpoints });
    return this.#import;
  }

  get #nextNumber(): number {
    return (stateNumber(this.#pointer.folder) ?? 0) + 1;
  }
}

interface OldState {
  readonly store: LevelStateStore;
  readonly folder: string;
}

const INCOMING_SUFFIX = '.incoming';

function stateName(number: number): string {
  return `state-${number}`;
}

/** The number in the name of a state's folder, complete or not; `null` when it is no such name. */
function stateNumber(name: string): number | null {
  const match = /^state-([1-9]\d*)(?:\.incoming)?$/.exec(name);
  return match === null ? null : Number(match[1]);
}

/** The state in the folder `from` gets its name, and becomes the current one; before, its files are durable. */
export function makeCurrent(
  files: Files,
  folder: string,
  { from, pointer }: { readonly from: string; readonly pointer: StatePointer },
): void {
  files.rename(from, `${folder}/${pointer.folder}`);
  // The pointer must never name a folder that a power failure takes away.
  files.syncFolder(folder);
  writePointer(files, folder, pointer);
}

/**
 * What the pointer says; a new data folder gets one.
 * @throws BalsaError `STATE_CORRUPT`, `VERSION_UNSUPPORTED`
 */
export function findState(files: Files, folder: string): StatePointer {
  const pointer = readPointer(files, folder);
  const states = files.list(folder).filter((name) => stateNumber(name) !== null);
  if (pointer !== null) {
    const isMissing = !states.includes(pointer.folder);
    if (!isMissing || pointer.installed === null) return pointer;
    throw folderMissing(folder, pointer);
  }
  if (states.length > 0) {
    throw pointerCorrupt(`${folder}/${POINTER_FILE}`, 'is missing');
  }
  const first: StatePointer = { folder: stateName(1), installed: null };
  writePointer(files, folder, first);
  return first;
}

/** The log does not hold what it began with. */
function folderMissing(folder: string, pointer: StatePointer): BalsaError {
  const path = `${folder}/${pointer.folder}`;
  return new BalsaError(
    'STATE_CORRUPT',
    `${path} is missing, which is the state as ${POINTER_FILE} beside it says: put it back. The log alone does not make it again,` +
      ' since it began with a snapshot; without a copy empty the data folder and let the replica join again as a new member',
    { details: { folder: path } },
  );
}

async function openState(
  options: Required<LevelStateVaultOptions>,
  { folder: name, installed }: StatePointer,
  isVerified: boolean,
): Promise<LevelStateStore> {
  const folder = `${options.folder}/${name}`;
  const { limits, failpoints, clock, files } = options;
  guard(folder, () => files.makeFolder(folder));
  const scrub = scrubRate(limits);
  const store = await LevelStateStore.open({
    folder,
    limits,
    failpoints,
    clock,
    files,
    isVerified,
    scrub,
  });
  if (store.restoredIndex >= (installed?.index ?? 0)) return store;
  await store.abandon();
  const problem = `it holds entry ${store.restoredIndex}, and began with a snapshot of ${installed?.index}`;
  throw stateCorrupt(folder, problem, null);
}

/** `null`: without the limits it does not. */
function scrubRate(limits: LevelStateVaultOptions['limits']): ScrubRate | null {
  const { scrubBytesPerSecondMax: bytesPerSecond = 0, scrubIntervalMs: intervalMs = 0 } = limits;
  return bytesPerSecond === 0 ? null : { bytesPerSecond, intervalMs };
}

async function removeLeftovers(files: Files, folder: string, current: string): Promise<void> {
  for (const name of guard(folder, () => files.list(folder))) {
    if (stateNumber(name) !== null && name !== current)
      await removeFolder(files, `${folder}/${name}`);
  }
}

function guard<T>(folder: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw toFolderError(error, folder);
  }
}

/** While serving: whatever fails here stops the replica. */
function guardDisk(folder: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    throw toDiskError(error, folder);
  }
}
