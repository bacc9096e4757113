import type { Clock } from '../../src/base/clock.js';
import type { BalsaError } from '../../src/base/errors.js';
import type { Failpoints } from '../../src/base/failpoints.js';
import { LIMITS, type Limits } from '../../src/base/limits.js';
import type { WriteBatch, WriteOperation, WriteResult } from '../../src/base/operation.js';
import { packOperations, unpackResults } from '../../src/base/operation-codec.js';
import { seededRandom } from '../../src/base/random.js';
import type { Executor } from '../../src/compute/execution.js';
import { formedWith } from '../../src/raft/configuration.js';
import type { CoreEvent, MemberId, Message } from '../../src/raft/types.js';
import type { DeltaFrame } from '../../src/rpc/delta-frames.js';
import type { FormatVersions } from '../../src/rpc/peer-protocol.js';
import { finishInstall } from '../../src/server/finish-install.js';
import { Replica } from '../../src/server/replica.js';
import type { ReplicaNotice } from '../../src/server/replica-options.js';
import type { StateCheckpoint } from '../../src/server/transport.js';
import { StateMachine, type StateMachineOptions } from '../../src/statemachine/state-machine.js';
import type { BatchAnswer } from '../../src/statemachine/types.js';
import { DELTA_SEGMENT_BYTES, DeltaQueue } from '../../src/storage/delta-queue.js';
import { type CrashChoice, MemoryFiles } from '../../src/storage/memory-files.js';
import { MemoryLogStore } from '../../src/storage/memory-log-store.js';
import { MemoryStateVault, type VaultCrashChoice } from '../../src/storage/memory-state-vault.js';
import { dialOver, type Fate, type Side } from './channel-pair.js';
import { Scheduler } from './test-scheduler.js';

/** A log that is cut soon, and snapshots of many chunks. */
const SMALL: Limits = {
  ...LIMITS,
  logEntriesMax: 60,
  logTrailingEntries: 10,
  snapshotChunkBytes: 1024,
  snapshotWindowBytes: 4096,
  stateHashEntries: 16,
};

/** Whole replicas on a network and disks in memory, in simulated time, without faults of their own. */
export class ReplicaWorld {
  readonly scheduler: Scheduler;
  readonly limits: Limits;
  readonly machines = new Map<MemberId, TestMachine>();
  /** `from>to`: nothing gets through. */
  readonly cut = new Set<string>();
  fate: (to: MemberId, from: Side, frame: Buffer) => Fate = () => 'pass';
  /** Copies of a frame about deltas that arrive, each so many milliseconds later. */
  fateOfDeltas: (from: MemberId, to: MemberId, frame: DeltaFrame) => readonly number[] = () => [1];
  stateOptions: StateMachineOptions = {};
  /** Of commands, that all members can read. */
  commandVersion = 2;
  /** Runs procedures at each of them; `null`: they have none, and no queues of deltas. */
  executor: Executor | null = null;
  deltaSegmentBytes = DELTA_SEGMENT_BYTES;
  formatsOf: (member: MemberId) => FormatVersions | null = () => ({
    command: this.commandVersion,
    snapshot: 1,
  });
  #sequence = 0;

  constructor(
    members: readonly MemberId[],
    limits: Partial<Limits> = {},
    scheduler = new Scheduler(3),
  ) {
    this.scheduler = scheduler;
    this.limits = { ...SMALL, ...limits };
    for (const id of members) this.machines.set(id, new TestMachine(this, id, members));
  }

  async start(): Promise<void> {
    for (const machine of this.machines.values()) await this.wait(machine.start());
    await this.until(() => this.leader !== null);
  }

  machine(id: MemberId): TestMachine {
    const machine = this.machines.get(id);
    if (machine === undefined) throw new Error(`no member ${id}`);
    return machine;
  }

  /** The one that leads the highest term. */
  get leader(): TestMachine | null {
    const leaders = this.running.filter(({ replica }) => replica.node.role === 'leader');
    leaders.sort((a, b) => b.replica.node.term - a.replica.node.term);
    return leaders[0] ?? null;
  }

  get running(): TestMachine[] {
    return [...this.machines.values()].filter((machine) => machine.isRunning);
  }

  isolate(id: MemberId): void {
    for (const other of this.machines.keys()) {
      this.cut.add(`${id}>${other}`);
      this.cut.add(`${other}>${id}`);
    }
  }

  heal(): void {
    this.cut.clear();
  }

  run(ms: number): Promise<void> {
    return this.scheduler.run(this.scheduler.nowMs + ms);
  }

  async until(done: () => boolean, ms = 20_000): Promise<void> {
    await this.scheduler.run(this.scheduler.nowMs + ms, done);
    if (!done()) throw new Error('it did not come about');
  }

  /** What only goes on in simulated time. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const settle = (): void => {
      settled = true;
    };
    promise.then(settle, settle);
    await this.run(0);
    for (let i = 0; i < 1000 && !settled; i += 1) {
      // Something must happen for promises to be looked at.
      this.scheduler.plan(1, () => {});
      await this.run(1);
    }
    return promise;
  }

  /** Writes so many keys through the leader, each as an entry of its own. */
  async write(count: number, valueBytes = 100): Promise<BatchAnswer[]> {
    const answers: BatchAnswer[] = [];
    for (let i = 0; i < count; i += 1) {
      const { leader } = this;
      if (leader === null) throw new Error('no leader');
      this.#sequence += 1;
      const before = answers.length;
      const batch = batchOf(this.#sequence, valueBytes);
      leader.replica.write(batch, { operations: 1, version: 1 }, (answer) => answers.push(answer));
      await this.until(() => answers.length > before);
    }
    return answers;
  }

  /** Asks the leader for these operations in one batch, and waits for the results. */
  async ask(...operations: readonly WriteOperation[]): Promise<WriteResult[]> {
    const answer = this.begin(...operations);
    await this.until(() => answer.results !== null);
    return answer.results ?? [];
  }

  /** As {@link ask}, without waiting; `results` is set later. */
  begin(...operations: readonly WriteOperation[]): { results: WriteResult[] | null } {
    const { leader } = this;
    if (leader === null) throw new Error('no leader');
    const told: { results: WriteResult[] | null } = { results: null };
    this.#sequence += 1;
    const batch = { ...batchOf(this.#sequence), operations: packOperations(operations) };
    leader.replica.write(batch, { operations: operations.length, version: 3 }, (answer) => {
      if (!answer.ok) throw answer.error;
      told.results = unpackResults(answer.results);
    });
    return told;
  }

  /** All that run have applied the same, and have the same state. */
  async converge(): Promise<void> {
    const states = (): Set<string> =>
      new Set(
        this.running.map(({ replica }) => `${replica.appliedIndex} ${replica.machine.stateHash}`),
      );
    await this.until(() => states().size === 1);
  }
}

const LOSE_UNSYNCED: CrashChoice = { data: () => 'lost', keepsName: () => false };

export function batchOf(sequence: number, valueBytes = 100): WriteBatch {
  const key = Buffer.from(`key ${sequence}`);
  const operations = packOperations([
    { type: 'put', key, value: Buffer.alloc(valueBytes, sequence) },
  ]);
  return {
    sessionId: Buffer.alloc(16, 1),
    bornIndex: 0,
    sequence,
    acknowledged: sequence - 1,
    operations,
  };
}

/** One machine: its disks stay when the replica on it stops. */
export class TestMachine {
  readonly id: MemberId;
  readonly #world: ReplicaWorld;
  readonly #members: readonly MemberId[];
  readonly events: CoreEvent[] = [];
  readonly notices: ReplicaNotice[] = [];
  readonly failures: BalsaError[] = [];
  /** Steps of storage, in order: see the tests of the installation. */
  readonly steps: string[] = [];
  readonly sent: Message[] = [];
  logStore: MemoryLogStore;
  vault: MemoryStateVault;
  /** Where the queue of deltas lies. */
  files: MemoryFiles;
  deltas: DeltaQueue | null = null;
  diskMs = 0.5;
  /** How far its wall clock is ahead. */
  wallAheadMs = 0;
  failpoints: Failpoints = { hit: (name) => void this.steps.push(name) };
  #standingStill: { timers: (() => void)[]; messages: (() => void)[] } | null = null;
  #life = 0;
  #replica: Replica | null = null;

  constructor(world: ReplicaWorld, id: MemberId, members: readonly MemberId[]) {
    this.#world = world;
    this.id = id;
    this.#members = members;
    this.logStore = new MemoryLogStore({ schedule: this.#disk() });
    this.vault = new MemoryStateVault(this.#vaultOptions());
    this.files = new MemoryFiles({ schedule: this.#disk() });
  }

  /** It has just been started, and has done nothing yet. */
  onStarted: () => void = () => {};

  get isRunning(): boolean {
    return this.#replica !== null;
  }

  get replica(): Replica {
    if (this.#replica === null) throw new Error(`${this.id} does not run`);
    return this.#replica;
  }

  /** Power fails. */
  crash(choice: VaultCrashChoice = {}): void {
    this.#replica?.stop();
    this.#replica = null;
    this.#life += 1;
    this.logStore = this.logStore.restart('lost', { schedule: this.#disk() });
    this.vault = this.vault.crash(this.#vaultOptions(), choice);
    this.files = this.files.crash(LOSE_UNSYNCED, this.#disk());
  }

  /** The folder of deltas is moved away. */
  loseDeltas(): void {
    this.files = new MemoryFiles({ schedule: this.#disk() });
  }

  async start(): Promise<void> {
    const { scheduler, limits, machines, cut } = this.#world;
    const life = this.#life;
    const restoredLog = await finishInstall(this.vault, this.logStore);
    const machine = await StateMachine.open(this.vault.current, this.#world.stateOptions);
    const { executor } = this.#world;
    if (executor !== null) this.deltas = this.#openDeltas();
    const to = (other: MemberId, deliver: (replica: Replica) => void, ms = 1): void => {
      scheduler.plan(ms, () => {
        const receiver = machines.get(other);
        if (receiver?.isRunning !== true || cut.has(`${this.id}>${other}`)) return;
        receiver.#happens('messages', () => deliver(receiver.replica));
      });
    };
    this.#replica = new Replica({
      id: this.id,
      cluster: { name: 'test', id: 'c1' },
      configuration: formedWith(this.#members),
      clock: this.#clock(life),
      random: seededRandom(scheduler.random.int(2 ** 31)),
      limits,
      failpoints: this.#failpoints,
      ...{ tickMs: 25, electionTicks: 30, heartbeatTicks: 4, diskStallTicks: 120 },
      ...{ priority: 100, leaseMs: 0, leaseDriftMargin: 0.1 },
      logStore: this.logStore,
      restoredLog,
      vault: this.vault,
      machine,
      openMachine: (store) => StateMachine.open(store, this.#world.stateOptions),
      ...(executor === null ? {} : { executor, deltas: this.deltas ?? undefined }),
      transport: {
        send: (other, messages) => {
          this.sent.push(...messages);
          to(other, (replica) => {
            for (const message of messages) replica.receive(message);
          });
        },
        sendStateHash: (other, checkpoint: StateCheckpoint) =>
          to(other, (replica) => replica.receiveStateHash(this.id, checkpoint)),
        sendDeltas: (other, frame) => {
          for (const ms of this.#world.fateOfDeltas(this.id, other, frame)) {
            to(other, (replica) => replica.calls.receiveDeltas(this.id, frame), ms);
          }
        },
        sendJobs: (other, frame) =>
          to(other, (replica) => replica.calls.jobs.receive(this.id, frame)),
      },
      dialSnapshot: (other, handlers) =>
        dialOver(
          {
            scheduler,
            accept: (channel) => {
              const receiver = machines.get(other);
              if (receiver?.isRunning !== true || cut.has(`${this.id}>${other}`)) return null;
              return receiver.replica.acceptSnapshot(channel);
            },
            fate: (from, frame) =>
              cut.has(`${this.id}>${other}`) ? 'break' : this.#world.fate(other, from, frame),
          },
          handlers,
        ),
      formats: { command: this.#world.commandVersion, snapshot: 1 },
      formatsOf: (member) => this.#world.formatsOf(member),
      nameOf: (member) => member,
      onEvent: (event) => this.events.push(event),
      onNotice: (notice) => this.notices.push(notice),
      afterTurn: () => {},
      onFailure: (error) => this.failures.push(error),
    });
    this.#replica.start();
    this.onStarted();
  }

  #openDeltas(): DeltaQueue {
    return DeltaQueue.open({
      folder: 'ap',
      segmentBytes: this.#world.deltaSegmentBytes,
      files: this.files,
      random: this.#world.scheduler.random,
      clock: this.#clock(this.#life),
      onFailure: (error) => this.failures.push(error),
    });
  }

  /** The process stands still (SIGSTOP): timers are late, messages wait in the sockets. */
  pause(): void {
    this.#standingStill = { timers: [], messages: [] };
  }

  /** It goes on as an event loop does: late timers first, then what is in the sockets. */
  goOn(): void {
    const { timers, messages } = this.#standingStill ?? { timers: [], messages: [] };
    this.#standingStill = null;
    for (const late of [...timers, ...messages]) this.#world.scheduler.plan(0, late);
  }

  #happens(what: 'timers' | 'messages', run: () => void): void {
    if (this.#standingStill === null) run();
    else this.#standingStill[what].push(run);
  }

  #clock(life: number): Clock {
    const clock = this.#world.scheduler.clock(() => this.#life === life);
    return {
      ...clock,
      wallMs: () => clock.wallMs() + this.wallAheadMs,
      setTimer: (delayMs, callback) =>
        clock.setTimer(delayMs, () => this.#happens('timers', callback)),
      defer: (callback) => clock.defer(() => this.#happens('messages', callback)),
    };
  }

  get #failpoints(): Failpoints {
    return { hit: (name) => this.failpoints.hit(name) };
  }

  #vaultOptions() {
    return { schedule: this.#disk(), failpoints: this.#failpoints };
  }

  #disk(): (complete: () => void) => void {
    const life = this.#life;
    return (complete) =>
      void this.#world.scheduler.plan(this.diskMs, () => {
        if (this.#life === life) complete();
      });
  }
}
