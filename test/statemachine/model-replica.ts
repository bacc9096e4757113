import {
  type AppliedEntry,
  StateMachine,
  type StateMachineOptions,
} from '../../src/statemachine/state-machine.js';
import type { StateStore } from '../../src/statemachine/state-store.js';
import type { BatchAnswer, WriteEvent } from '../../src/statemachine/types.js';
import { LevelStateStore } from '../../src/storage/level-state-store.js';
import { MemoryStateStore } from '../../src/storage/memory-state-store.js';
import { MemoryStateVault } from '../../src/storage/memory-state-vault.js';
import { chunksOf, headerOf } from '../storage/snapshot-helpers.js';
import { beginReads } from './model-reads.js';
import type { NaiveModel } from './naive-model.js';
import type { NaiveStore } from './naive-store.js';
import { plainEvent, plainItem, same } from './plain.js';
import { SimpleStateStore } from './simple-state-store.js';

/** An entry of the log with what the first replica answered and the revision of the store behind it. */
export interface LoggedEntry {
  readonly entry: AppliedEntry;
  answers: readonly string[] | null;
  readonly revision: number;
}

/** A place where a state can be found again. */
export interface StateDisk {
  open(): Promise<StateStore>;
  /** The state as it may be found after a crash: up to about so many entries old. */
  reopen(behind: number): Promise<StateStore>;
  dispose(): Promise<void>;
}

export class SimpleDisk implements StateDisk {
  store = new SimpleStateStore();

  async open(): Promise<StateStore> {
    return this.store;
  }

  async reopen(behind: number): Promise<StateStore> {
    const last = this.store.applied.at(-1)?.index ?? 0;
    this.store = this.store.reopenedAt(last - behind);
    return this.store;
  }

  async dispose(): Promise<void> {}
}

/** As the simulator has it. */
export class MemoryDisk implements StateDisk {
  #store = new MemoryStateStore({ schedule: queueMicrotask });

  async open(): Promise<StateStore> {
    return this.#store;
  }

  async reopen(behind: number): Promise<StateStore> {
    this.#store = this.#store.crash(undefined, (unsynced) => Math.max(0, unsynced - behind));
    return this.#store;
  }

  async dispose(): Promise<void> {
    await this.#store.close();
  }
}

/** As in production; it comes back with all that was allowed to be there. */
export class LevelDisk implements StateDisk {
  readonly #folder: string;
  #store: LevelStateStore | null = null;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async open(): Promise<StateStore> {
    this.#store = await LevelStateStore.open({
      folder: this.#folder,
      limits: { overlayBytesMax: 512 },
    });
    return this.#store;
  }

  async reopen(): Promise<StateStore> {
    await this.dispose();
    return this.open();
  }

  async dispose(): Promise<void> {
    await this.#store?.close();
    this.#store = null;
  }
}

/** A state machine on a disk of its own, with what it told of writes. */
export class ModelReplica {
  readonly #disk: StateDisk;
  readonly #options: StateMachineOptions;
  #store: StateStore;
  #machine: StateMachine;
  #heard: WriteEvent[] = [];

  private constructor(
    parts: {
      readonly disk: StateDisk;
      readonly store: StateStore;
      readonly machine: StateMachine;
    },
    options: StateMachineOptions,
  ) {
    this.#disk = parts.disk;
    this.#store = parts.store;
    this.#machine = parts.machine;
    this.#options = options;
    this.#listen();
  }

  static async start(disk: StateDisk, options: StateMachineOptions): Promise<ModelReplica> {
    const store = await disk.open();
    const machine = await StateMachine.open(store, options);
    return new ModelReplica({ disk, store, machine }, options);
  }

  /** One that has a state of `source`, so many entries old, by way of a snapshot. */
  static async fromSnapshot(
    source: ModelReplica,
    behind: number,
    log: readonly LoggedEntry[],
    options: StateMachineOptions,
  ): Promise<ModelReplica> {
    const index = Math.max(0, log.length - behind);
    const vault = new MemoryStateVault({ schedule: queueMicrotask });
    const incoming = await vault.beginImport(headerOf(index));
    const { chunks, end } = chunksOf(source.pairsAt(index), 5);
    for (const chunk of chunks) await incoming.write(chunk);
    await incoming.finish(end);
    const store = await vault.switchTo(incoming);
    const disk = {
      open: async () => store,
      reopen: async () => store,
      dispose: () => vault.close(),
    };
    const replica = await ModelReplica.start(disk, options);
    await replica.#catchUp(log);
    return replica;
  }

  get machine(): StateMachine {
    return this.#machine;
  }

  /** All pairs after entry `index`, in key order; of a {@link SimpleDisk} only. */
  pairsAt(index: number): [Uint8Array, Uint8Array][] {
    if (!(this.#disk instanceof SimpleDisk)) throw new Error('only of a simple disk');
    return this.#disk.store
      .reopenedAt(index)
      .pairs()
      .map(([key, value]) => [Buffer.from(key, 'latin1'), Buffer.from(value, 'latin1')]);
  }

  /** Applies the entry that the model has just been told of and compares the writes told. */
  async apply(logged: LoggedEntry, model: NaiveModel): Promise<readonly BatchAnswer[]> {
    const { store } = model;
    const before = this.#machine.revision;
    const reads = beginReads(this.#machine, logged.entry.index);
    const answers = await this.#apply(logged);
    this.compareEvents(this.#heard, store, before + 1);
    await reads(store);
    return answers;
  }

  /** All events from `fromRevision` on, each once and in order, with what was there before. */
  compareEvents(events: readonly WriteEvent[], store: NaiveStore, fromRevision: number): void {
    const expected = store.eventsFrom(fromRevision);
    same(
      events.map(plainEvent),
      expected.map(({ previous: _, ...event }) => event),
    );
    for (const [n, event] of events.entries()) {
      // What was there before the oldest revision that is kept may be gone.
      if (event.revision <= store.compacted) continue;
      const previous = this.#machine.valueBefore(event);
      same(previous && plainItem(previous), expected[n]?.previous);
    }
  }

  async #apply({ entry }: LoggedEntry): Promise<readonly BatchAnswer[]> {
    this.#heard = [];
    const ready = this.#machine.prepare(entry);
    if (ready !== null) await ready;
    const answers = this.#machine.apply(entry);
    this.#store.allowDisk(entry.index);
    return answers;
  }

  /** Crashes, comes back with what the disk has, and applies the rest. */
  async restart(behind: number, log: readonly LoggedEntry[]): Promise<void> {
    const { stateHash, revision } = this.#machine;
    this.#store = await this.#disk.reopen(behind);
    this.#machine = await StateMachine.open(this.#store, this.#options);
    this.#listen();
    await this.#catchUp(log);
    same(this.#machine.stateHash, stateHash);
    same(this.#machine.revision, revision);
  }

  async #catchUp(log: readonly LoggedEntry[]): Promise<void> {
    for (const logged of log.slice(this.#machine.appliedIndex)) {
      same((await this.#apply(logged)).map(wordOf), logged.answers);
      same(this.#machine.revision, logged.revision);
    }
  }

  #listen(): void {
    this.#machine.onWrites((events) => {
      // Copies: keys and values are views of the entry.
      for (const event of events) {
        const { key, value } = event;
        this.#heard.push({ ...event, key: Buffer.from(key), value: Buffer.from(value) });
      }
    });
  }

  async close(): Promise<void> {
    await this.#disk.dispose();
  }
}

/** All of an answer, errors with their texts: it must be the same everywhere. */
export function wordOf(answer: BatchAnswer): string {
  if (answer.ok) return `${answer.repeated} ${Buffer.from(answer.results).toString('hex')}`;
  const { code, message, outcome, details } = answer.error;
  return `${code} ${outcome} ${message} ${JSON.stringify(details)}`;
}
