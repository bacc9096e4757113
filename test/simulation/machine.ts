import type { BalsaError } from '../../src/base/errors.js';
import type { Random } from '../../src/base/random.js';
import type { SnapshotPair } from '../../src/base/snapshot-codec.js';
import type { CoreEvent, MemberId, Role } from '../../src/raft/types.js';
import type { Replica } from '../../src/server/replica.js';
import type { CrashChoice } from '../../src/storage/memory-files.js';
import { MemoryStateVault, type VaultCrashChoice } from '../../src/storage/memory-state-vault.js';
import type { CallObserver } from './calls/call-observer.js';
import type { Coverage } from './coverage.js';
import { SimulatedFailpoints } from './failpoints.js';
import type { FreshnessOracle } from './freshness-oracle.js';
import type { Invariants } from './invariants.js';
import { MachineTime } from './machine-time.js';
import type { SimulatedNetwork } from './network.js';
import { type Process, startProcess } from './process.js';
import { type Scheduler, Violation } from './scheduler.js';
import { SimulatedDisk } from './simulated-disk.js';
import type { SimulationOptions } from './swarm.js';
import type { WatchHistory } from './watch-history.js';

/** What all machines of a run share. */
export interface Surroundings {
  readonly options: SimulationOptions;
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly invariants: Invariants;
  readonly freshness: FreshnessOracle;
  readonly history: WatchHistory;
  readonly calls: CallObserver | null;
  readonly coverage: Coverage;
  /** The members that the cluster was formed with. */
  readonly formed: readonly MemberId[];
}

/** Errors of a replica whose disk has failed, which is no fault of its own. */
const DISK_ERRORS = new Set(['DISK_FAILED', 'DISK_FULL', 'WAL_CORRUPT', 'DATA_FOLDER_UNUSABLE']);

/** One machine: its disk and its clock stay when the process on it dies. */
export class Machine {
  readonly place: number;
  readonly name: string;
  readonly address: string;
  readonly time: MachineTime;
  readonly disk: SimulatedDisk;
  readonly #world: Surroundings;
  #incarnation = 1;
  #vault: MemoryStateVault;
  readonly failpoints: SimulatedFailpoints;
  #process: Process | null = null;
  #isStarting = false;
  /** It has been told to end, and closes its stores. */
  #isStopping = false;
  /** It is to be started as soon as it has ended. */
  #startsAgain = false;
  /** Cannot start any more: its disk is damaged. */
  isLost = false;
  /** It is one of the first members, or a member has spoken to it: before, it waits to be let in. */
  isBound: boolean;
  /** It has been told that it is a member no more. */
  isRemoved = false;
  crashes = 0;
  #diskSteps = 0;
  #messages = 0;
  #atDiskStep: { readonly step: number; readonly act: () => void } | null = null;
  #atMessage: { readonly message: number; readonly act: () => void } | null = null;
  /** The process has ended by itself. */
  onExit: (error: BalsaError) => void = () => {};

  constructor(place: number, world: Surroundings) {
    this.place = place;
    this.#world = world;
    this.name = `n${place + 1}`;
    this.isBound = place < world.options.replicas;
    this.address = `${this.name}:1`;
    const { scheduler, options } = world;
    this.time = new MachineTime(scheduler, place);
    this.disk = new SimulatedDisk({
      scheduler,
      time: this.time,
      subject: place,
      speed: options.disk,
      onStep: () => this.#onDiskStep(),
    });
    this.failpoints = new SimulatedFailpoints(world.coverage);
    this.#vault = this.#emptyVault();
  }

  #emptyVault(): MemoryStateVault {
    return new MemoryStateVault({ schedule: this.disk.schedule(), failpoints: this.failpoints });
  }

  get id(): MemberId {
    return `${this.name}.${this.#incarnation}`;
  }

  get isRunning(): boolean {
    return this.#process !== null;
  }

  /** Neither runs nor is about to. */
  get isDown(): boolean {
    return this.#process === null && !this.#isStarting && !this.#isStopping;
  }

  get replica(): Replica | null {
    return this.#process?.replica ?? null;
  }

  /** All that its state is at this moment, in the order of the keys. */
  async records(): Promise<readonly SnapshotPair[]> {
    const all = Number.POSITIVE_INFINITY;
    const range = { from: new Uint8Array(), to: null, keysMax: all, bytesMax: all };
    return (await this.#vault.current.scan(range)).pairs;
  }

  // ---------------------------------------------------------------- life

  /** Opens the disk, which takes simulated time, and begins to serve. */
  start(): void {
    this.#startsAgain = this.#isStopping;
    if (!this.isDown || this.isLost || this.isRemoved) return;
    this.#isStarting = true;
    const { life } = this.time;
    startProcess(this, this.#vault, this.#world).then(
      (process) => {
        if (life !== this.time.life) return;
        this.#isStarting = false;
        this.#process = process;
        process.open();
      },
      (error: unknown) => {
        if (life === this.time.life) this.#failed(error as BalsaError);
      },
    );
  }

  /** Power fails; what was not synced is lost, kept or torn as `choice` says. */
  powerFails(choice: CrashChoice, random: Random): void {
    const keeps = (unsynced: number): number => random.int(unsynced + 1);
    const isSwitched = random.int(2) === 0;
    this.#dies(() => this.disk.powerFails(choice), { keeps, isSwitched });
  }

  /** kill -9: the system goes on, and keeps what was written. */
  killed(): void {
    this.#dies(() => this.disk.processDies());
  }

  /** SIGTERM: ends as soon as its stores are closed. */
  stop(): void {
    const process = this.#process;
    if (process === null || this.time.isPaused) return;
    const { life } = this.time;
    this.#process = null;
    this.#isStopping = true;
    // A disk that fails while it closes: the process ends all the same.
    const ended = (): void => {
      if (life === this.time.life) this.#dies(() => this.disk.processDies());
    };
    process.close().then(ended, ended);
  }

  #dies(disk: () => void, choice: VaultCrashChoice = {}): void {
    if (this.isDown) return;
    this.#process = null;
    this.#isStarting = false;
    this.#isStopping = false;
    this.crashes += 1;
    this.#atDiskStep = null;
    this.#atMessage = null;
    this.time.die();
    this.#world.network.detach(this.id);
    this.#world.network.close(this.address);
    this.#world.network.breakStreamsFrom(this.place);
    disk();
    const { failpoints } = this;
    failpoints.clear();
    this.#vault = this.#vault.crash({ schedule: this.disk.schedule(), failpoints }, choice);
    if (!this.#startsAgain) return;
    this.#startsAgain = false;
    this.#world.scheduler.plan(0, () => this.start());
  }

  /** Its disk is lost. It comes back, if started, as somebody else. */
  wipe(): void {
    this.#startsAgain = false;
    this.killed();
    this.disk.wipe();
    this.#vault = this.#emptyVault();
    this.#incarnation += 1;
    this.isLost = false;
    this.isBound = false;
    this.isRemoved = false;
  }

  /** The replica has stopped, or could not start. */
  failed(error: BalsaError): void {
    // Out of its call: the process ends behind it.
    const { life } = this.time;
    this.#world.scheduler.plan(0, () => {
      if (life === this.time.life) this.#failed(error);
    });
  }

  #failed(error: BalsaError): void {
    const { coverage, scheduler } = this.#world;
    coverage.count(`replica stops: ${error.code}`);
    if (!(DISK_ERRORS.has(error.code) && this.#isExpected(error))) {
      scheduler.fail(
        new Violation(`${this.name} stops: ${error.code}: ${error.message}`, { cause: error }),
      );
      return;
    }
    if (error.code === 'WAL_CORRUPT') this.isLost = true;
    this.#dies(() => this.disk.processDies());
    this.onExit(error);
  }

  #isExpected(error: BalsaError): boolean {
    return error.code === 'WAL_CORRUPT' ? this.disk.isRotten : this.disk.hasFailed;
  }

  // ---------------------------------------------------------------- places to crash

  crashAtDiskStep(steps: number, act: () => void): void {
    this.#atDiskStep = { step: this.#diskSteps + steps, act };
  }

  crashAtMessage(messages: number, act: () => void): void {
    this.#atMessage = { message: this.#messages + messages, act };
  }

  forgetPlaces(): void {
    this.#atDiskStep = null;
    this.#atMessage = null;
  }

  #onDiskStep(): void {
    this.#diskSteps += 1;
    const place = this.#atDiskStep;
    if (place === null || this.#diskSteps < place.step) return;
    this.#atDiskStep = null;
    place.act();
  }

  /** @returns whether the message is still sent */
  beforeMessage(): boolean {
    const { life } = this.time;
    this.#messages += 1;
    const place = this.#atMessage;
    if (place === null || this.#messages < place.message) return true;
    this.#atMessage = null;
    place.act();
    return life === this.time.life;
  }

  /** Of a snapshot that goes from here to another. */
  sending({ phase }: { readonly phase: string }, role: Role): void {
    if (role === 'leader') return;
    this.#world.coverage.count(`snapshot: ${phase} by one that leads no more`);
  }

  told(event: CoreEvent): void {
    const { invariants, coverage, scheduler } = this.#world;
    invariants.told(this.id, event);
    scheduler.hash.text(event.type);
    switch (event.type) {
      case 'role':
        coverage.count(`role: ${event.role} (${event.reason})`);
        scheduler.hash.text(event.role);
        scheduler.hash.add(event.term);
        if (event.role !== 'leader') this.#world.calls?.leadershipLost(this.place);
        break;
      case 'configuration':
        coverage.count(`event: configuration ${event.committed ? 'committed' : 'in effect'}`);
        break;
      case 'transfer':
        coverage.count(`event: transfer ${event.phase} (${event.reason})`);
        break;
      case 'snapshot':
        coverage.count(`event: snapshot ${event.phase}`);
        break;
      case 'removed':
        coverage.count('event: removed');
        this.isRemoved = true;
        break;
      case 'compacted':
        coverage.count('event: compacted');
        break;
      default:
        throw new Error(`unknown event ${JSON.stringify(event satisfies never)}`);
    }
  }
}
