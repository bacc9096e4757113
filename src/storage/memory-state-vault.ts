import { assert } from '../base/assert.js';
import { toMapKey } from '../base/bytes.js';
import { BalsaError } from '../base/errors.js';
import { type Failpoints, noFailpoints } from '../base/failpoints.js';
import type { LogPosition } from '../raft/types.js';
import { ImportCheck, isSameSnapshot } from './import-check.js';
import type { Schedule } from './memory-files.js';
import { type DiskState, MemoryStateStore } from './memory-state-store.js';
import type {
  SnapshotChunk,
  SnapshotEnd,
  SnapshotHeader,
  StateImport,
  StateVault,
} from './snapshot.js';

export interface MemoryStateVaultOptions {
  /** When the calls answer; the simulator's choice. */
  readonly schedule: Schedule;
  readonly failpoints?: Failpoints;
}

/** What a crash leaves of the things that were under way. */
export interface VaultCrashChoice {
  /** How many of the unsynced entries of the state; all of them, as a kill does, by default. */
  readonly keeps?: (unsynced: number) => number;
  /** The crash came during a switch: was it behind the moment at which the new state is the current one? */
  readonly isSwitched?: boolean;
}

interface Contents {
  readonly current: MemoryStateStore;
  readonly installed: LogPosition | null;
}

/** {@link StateVault} in memory; {@link crash} says what the next process finds. */
export class MemoryStateVault implements StateVault {
  readonly #schedule: Schedule;
  readonly #failpoints: Failpoints;
  #contents: Contents;
  #import: MemoryImport | null = null;
  /** A switch is under way to this. */
  #switching: Contents | null = null;
  #isStopped = false;

  constructor(options: MemoryStateVaultOptions, contents?: Contents) {
    this.#schedule = options.schedule;
    this.#failpoints = options.failpoints ?? noFailpoints;
    this.#contents = contents ?? { current: new MemoryStateStore(options), installed: null };
  }

  get current(): MemoryStateStore {
    return this.#contents.current;
  }

  get installed(): LogPosition | null {
    return this.#contents.installed;
  }

  /** A switch is under way, and a crash may come before or behind it. */
  get isSwitching(): boolean {
    return this.#switching !== null;
  }

  async beginImport(header: SnapshotHeader): Promise<StateImport> {
    await this.#turn();
    const before = this.#import;
    const isOpen = before !== null && !before.isGivenUp;
    if (isOpen && isSameSnapshot(before.header, header)) return before;
    await before?.abandon();
    const begun = new MemoryImport(header, {
      failpoints: this.#failpoints,
      turn: () => this.#turn(),
    });
    this.#import = begun;
    return begun;
  }

  async switchTo(
    finished: StateImport,
    adopt: (store: MemoryStateStore) => Promise<void> = async () => {},
  ): Promise<MemoryStateStore> {
    const incoming = this.#import;
    assert(incoming !== null && incoming === finished, 'the import under way is switched to');
    assert(incoming.isFinished, 'a state is switched to when all of it is durable');
    this.#failpoints.hit('snapshot.before-switch');
    const options = { schedule: this.#schedule };
    const current = new MemoryStateStore(options, incoming.disk);
    const next = { current, installed: finished.header.position };
    this.#switching = next;
    await this.#turn();
    const old = this.#contents.current;
    this.#contents = next;
    this.#switching = null;
    this.#import = null;
    this.#failpoints.hit('snapshot.after-switch');
    try {
      await adopt(current);
    } finally {
      old.abandon();
    }
    return current;
  }

  async close(): Promise<void> {
    this.#isStopped = true;
    await this.#contents.current.close();
  }

  /**
   * Stops this vault, whose calls never answer again; the answer is what another process, or this
   * machine after a crash, finds. An import is lost.
   */
  crash(
    options: MemoryStateVaultOptions = { schedule: this.#schedule },
    choice: VaultCrashChoice = {},
  ): MemoryStateVault {
    this.#isStopped = true;
    const { current, installed } =
      choice.isSwitched === true ? (this.#switching ?? this.#contents) : this.#contents;
    this.#contents.current.abandon();
    const survivor = current.crash(options, choice.keeps);
    return new MemoryStateVault(options, { current: survivor, installed });
  }

  #turn(): Promise<void> {
    return new Promise((resolve) =>
      this.#schedule(() => {
        if (!this.#isStopped) resolve();
      }),
    );
  }
}

class MemoryImport implements StateImport {
  readonly header: SnapshotHeader;
  readonly disk: DiskState;
  readonly #failpoints: Failpoints;
  readonly #turn: () => Promise<void>;
  readonly #check = new ImportCheck();
  #state: 'open' | 'finished' | 'ended' = 'open';
  /** The end of all that was asked for. */
  #queue: Promise<void> = Promise.resolve();

  constructor(
    header: SnapshotHeader,
    world: { readonly failpoints: Failpoints; readonly turn: () => Promise<void> },
  ) {
    this.header = header;
    this.disk = { index: header.position.index, values: new Map() };
    this.#failpoints = world.failpoints;
    this.#turn = world.turn;
  }

  get chunks(): number {
    return this.#check.chunks;
  }

  get isFinished(): boolean {
    return this.#state === 'finished';
  }

  get isGivenUp(): boolean {
    return this.#state === 'ended';
  }

  write(chunk: SnapshotChunk): Promise<void> {
    return this.#enqueue(() => {
      this.#checkOpen();
      const { pairs, accept } = this.#check.read(chunk);
      this.#failpoints.hit('snapshot.before-chunk');
      // Copies: pairs are views into the chunk.
      for (const [key, value] of pairs) this.disk.values.set(toMapKey(key), Buffer.from(value));
      accept();
      this.#failpoints.hit('snapshot.after-chunk');
    });
  }

  finish(end: SnapshotEnd): Promise<void> {
    return this.#enqueue(() => {
      if (this.#state !== 'finished') this.#checkOpen();
      this.#check.finish(end);
      this.#failpoints.hit('snapshot.before-finish');
      this.#state = 'finished';
      this.#failpoints.hit('snapshot.after-finish');
    });
  }

  abandon(): Promise<void> {
    this.#state = 'ended';
    return Promise.resolve();
  }

  #checkOpen(): void {
    if (this.#state === 'open') return;
    throw new BalsaError('SHUTTING_DOWN', 'the import was given up');
  }

  #enqueue(work: () => void): Promise<void> {
    const done = this.#queue.then(() => this.#turn()).then(work);
    this.#queue = done.catch(() => {});
    return done;
  }
}
