import { formedWith } from '../../src/raft/configuration.js';
import type { MemberId } from '../../src/raft/types.js';
import { tearUnsynced } from '../../src/storage/memory-files.js';
import { CallObserver } from './calls/call-observer.js';
import { Coverage } from './coverage.js';
import { LEADER, type Who } from './faults/fault.js';
import { kindOf } from './faults/fault-kinds.js';
import { FreshnessOracle } from './freshness-oracle.js';
import { Invariants } from './invariants.js';
import { Machine } from './machine.js';
import { FINE, SimulatedNetwork } from './network.js';
import { Operator } from './operator.js';
import { isQuorum, withPromotions } from './quorums.js';
import type { PlannedFault, Schedule } from './schedule.js';
import { KIND, type Planned, Scheduler } from './scheduler.js';
import type { SimulationOptions } from './swarm.js';
import { WatchHistory } from './watch-history.js';

/** Places of clients in the network start here. */
const CLIENT_PLACES = 100;

/** Pauses of clients when something has happened. */
const HURRIED_PAUSE_MS = 100;
/** So many calls of all clients together tell what the moment of a fault does; more only cost time. */
const HURRIED_CALLS = 24;

/** A replica that cannot start because of its disk is tried again this often. */
const RESTART_MS = 1000;

/** A whole cluster in one process, in simulated time, and what can be done to it. */
export class World {
  readonly options: SimulationOptions;
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly coverage = new Coverage();
  readonly invariants: Invariants;
  readonly history: WatchHistory;
  readonly machines: readonly Machine[];
  readonly operator: Operator;
  readonly freshness: FreshnessOracle;
  /** `null`: nobody calls procedures. */
  readonly calls: CallObserver | null;
  #isDisturbed = false;
  /** Ends of faults that are not due yet. */
  readonly #ends = new Map<Planned, () => void>();
  faults = 0;
  /** Clients do much now, for so long and with pauses of at most so long: what follows is quick. */
  hurry: (forMs: number, pauseMs: number, callsMax?: number) => void = () => {};

  constructor(options: SimulationOptions) {
    this.options = options;
    const { coverage } = this;
    const scheduler = new Scheduler(options.seed);
    this.scheduler = scheduler;
    this.network = new SimulatedNetwork({ scheduler, coverage, usesCodec: options.usesCodec });
    const { replicas, spares } = options;
    const formed = Array.from({ length: replicas }, (_, i) => `n${i + 1}.1`);
    this.invariants = new Invariants({ scheduler, coverage, formed: formedWith(formed) });
    const electionMs = options.electionTicks * options.tickMs;
    const { leaseMs } = options;
    this.freshness = new FreshnessOracle({ scheduler, coverage, electionMs, leaseMs });
    this.history = new WatchHistory(scheduler);
    this.calls = options.calls === undefined ? null : new CallObserver(coverage);
    const { network, invariants, freshness, history, calls } = this;
    const watched = { invariants, freshness, history, calls };
    const surroundings = { options, scheduler, network, ...watched, coverage, formed };
    this.machines = Array.from(
      { length: replicas + spares },
      (_, place) => new Machine(place, surroundings),
    );
    for (const machine of this.machines) machine.onExit = () => this.#restartLater(machine);
    this.operator = new Operator(this);
  }

  get endpoints(): readonly string[] {
    return this.machines.map((machine) => machine.address);
  }

  /** Members whose disk is whole. */
  get intact(): readonly Machine[] {
    const { voters, votersOutgoing, learners } = this.invariants.committedConfiguration;
    const members = new Set([...voters, ...votersOutgoing, ...learners]);
    return this.machines.filter((machine) => !machine.isLost && members.has(machine.id));
  }

  /** Incarnations whose disk is whole, members or not. */
  survivors(): Set<MemberId> {
    const whole = this.machines.filter(({ isLost, disk }) => !isLost && !disk.isRotten);
    return new Set(whole.map(({ id }) => id));
  }

  /** Can all go on without this one, whichever configuration is in effect, or comes of itself? */
  canSpare(machine: Machine): boolean {
    const left = this.survivors();
    left.delete(machine.id);
    return this.invariants.activeConfigurations
      .flatMap((active) => [active, ...withPromotions(active)])
      .every((configuration) => isQuorum(configuration, left));
  }

  /** The one that leads, in the newest term if several think so. */
  get leader(): Machine | null {
    let leader: Machine | null = null;
    for (const machine of this.machines) {
      const node = machine.replica?.node;
      if (node?.role !== 'leader') continue;
      if (leader === null || node.term > (leader.replica?.node.term ?? 0)) leader = machine;
    }
    return leader;
  }

  get crashes(): number {
    return this.machines.reduce((sum, machine) => sum + machine.crashes, 0);
  }

  clientPlace(client: number): number {
    const { clients, levels } = this.options;
    return CLIENT_PLACES + (client % (clients + (levels?.readers.length ?? 0)));
  }

  watcherPlace(watcher: number): number {
    const { clients, levels } = this.options;
    return CLIENT_PLACES + clients + (levels?.readers.length ?? 0) + watcher;
  }

  machine(who: Who): Machine {
    const { leader } = this;
    if (who === LEADER && leader !== null) return leader;
    return this.machines[Math.abs(who) % this.machines.length] as Machine;
  }

  // ---------------------------------------------------------------- phases

  /** Starts all that do not run; answers when they do. */
  async startAll(): Promise<void> {
    const { scheduler } = this;
    const allRun = (): boolean => this.intact.every((machine) => machine.isRunning);
    for (const machine of this.intact) machine.start();
    await scheduler.run(scheduler.nowMs + 20_000, allRun);
    if (!allRun()) throw new Error('a replica does not start');
  }

  /** From now on things go wrong, as the schedule says. */
  disturb(schedule: Schedule): void {
    this.#isDisturbed = true;
    this.network.weather = this.options.weather;
    for (const planned of schedule) {
      const what = { kind: KIND.fault, subject: 0 };
      this.scheduler.plan(planned.atMs, () => this.#begin(planned), what);
    }
  }

  #begin({ fault, data }: PlannedFault): void {
    if (!this.#isDisturbed) return;
    this.faults += 1;
    this.coverage.count(`fault: ${fault}`);
    this.hurry(this.options.hurryMs ?? 0, HURRIED_PAUSE_MS, HURRIED_CALLS);
    kindOf(fault).apply(this, data);
  }

  /** No more faults: all that was done is undone, and what is down comes up. */
  async calm(): Promise<void> {
    this.#isDisturbed = false;
    for (const [planned, end] of this.#ends) {
      planned.cancel();
      end();
    }
    this.#ends.clear();
    this.network.weather = FINE;
    for (const machine of this.machines) machine.forgetPlaces();
    await this.startAll();
  }

  // ---------------------------------------------------------------- for faults

  /** Part of a fault, later; not when there are no faults any more. */
  later(delayMs: number, act: () => void): void {
    this.scheduler.plan(delayMs, () => {
      if (this.#isDisturbed) act();
    });
  }

  /** The end of a fault: when its time is over, or when all faults end. */
  until(forMs: number, end: () => void): void {
    const planned = this.scheduler.plan(forMs, () => {
      this.#ends.delete(planned);
      end();
    });
    this.#ends.set(planned, end);
  }

  cut(from: number, to: number, forMs: number): void {
    this.until(forMs, this.network.cut(from, to));
  }

  /** From all other machines; its clients reach it. */
  isolate(machine: Machine, forMs: number): void {
    for (const { place } of this.machines) {
      if (place === machine.place) continue;
      this.cut(machine.place, place, forMs);
      this.cut(place, machine.place, forMs);
    }
  }

  crash(machine: Machine, fault: { how: 'power' | 'kill'; downMs: number }): void {
    if (machine.isDown) return;
    this.coverage.count(`crash: ${fault.how}`);
    if (fault.how === 'power')
      machine.powerFails(tearUnsynced(this.scheduler.random), this.scheduler.random);
    else machine.killed();
    this.#afterDeath(machine, fault.downMs);
  }

  stop(machine: Machine, downMs: number): void {
    machine.stop();
    this.#afterDeath(machine, downMs);
  }

  /** Others may see at once that their connections are closed. */
  #afterDeath(machine: Machine, downMs: number): void {
    if (this.scheduler.random.int(2) === 0) this.tellDisconnected(machine);
    this.scheduler.plan(downMs, () => machine.start());
  }

  tellDisconnected(gone: Machine): void {
    for (const machine of this.machines) if (machine !== gone) this.hint(machine, gone);
  }

  /** The machine hears that its connection to the other one is closed. */
  hint(machine: Machine, gone: Machine): void {
    const { life } = machine.time;
    const { id } = gone;
    this.scheduler.plan(0.2 + this.scheduler.random.next() * 3, () =>
      machine.time.enter(life, 'io', () => machine.replica?.lost('disconnected', id)),
    );
  }

  /** Damages the disk of the machine, if the others can do without it. */
  rot(machine: Machine, at: { position: number; bit: number }): void {
    if (!machine.disk.isRotten && !this.canSpare(machine)) return;
    if (machine.disk.rot(at)) this.coverage.count('disk: a bit of the log has changed');
  }

  /** The machine gets a new disk; its new incarnation asks to take the place of the old one. */
  wipe(machine: Machine, downMs: number): void {
    const former = machine.id;
    const isMember = this.intact.includes(machine);
    if (!isMember || !this.canSpare(machine)) return;
    this.coverage.count('disk: wiped');
    machine.wipe();
    this.scheduler.plan(downMs, () => {
      machine.start();
      this.operator.reseed(machine, former);
    });
  }

  #restartLater(machine: Machine): void {
    this.scheduler.plan(RESTART_MS, () => machine.start());
  }
}
