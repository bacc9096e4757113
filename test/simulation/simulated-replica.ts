import { noFailpoints } from '../../src/base/failpoints.js';
import { LIMITS } from '../../src/base/limits.js';
import { seededRandom } from '../../src/base/random.js';
import type { Configuration, MemberId } from '../../src/raft/types.js';
import { type MemberAddress, PROTOCOL_VERSION } from '../../src/rpc/protocol.js';
import { ClientService } from '../../src/server/client-service.js';
import { Replica } from '../../src/server/replica.js';
import { StateMachine } from '../../src/statemachine/state-machine.js';
import type { StateStore } from '../../src/statemachine/state-store.js';
import type { LogStore } from '../../src/storage/log-store.js';
import { type CrashChoice, MemoryFiles } from '../../src/storage/memory-files.js';
import { MemoryStateStore } from '../../src/storage/memory-state-store.js';
import { Wal } from '../../src/storage/wal/wal.js';
import type { Invariants } from './invariants.js';
import type { SimulatedNetwork } from './network.js';
import type { Scheduler } from './scheduler.js';

const TICK_MS = 25;
const ELECTION_TICKS = 30;
const HEARTBEAT_TICKS = 4;

/** Small files, so that the log changes segments now and then. */
const SIMULATED_LIMITS = { ...LIMITS, walSegmentBytes: 64 * 1024 };

export interface SimulatedReplicaOptions {
  readonly name: string;
  readonly configuration: Configuration;
  readonly members: readonly MemberAddress[];
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly invariants: Invariants;
}

/** One machine: its disk stays when the replica on it crashes. The replica's code is that of production. */
export class SimulatedReplica {
  readonly id: MemberId;
  readonly name: string;
  readonly address: string;
  readonly #options: SimulatedReplicaOptions;
  #disk: MemoryFiles;
  #state: MemoryStateStore;
  /** Grows with each start: callbacks of an earlier life find that they are dead. */
  #life = 0;
  #starting = false;
  #running: { readonly replica: Replica; readonly machine: StateMachine } | null = null;
  crashes = 0;

  constructor(options: SimulatedReplicaOptions) {
    this.#options = options;
    this.name = options.name;
    this.id = `${options.name}.1`;
    this.address = `${options.name}:1`;
    this.#disk = new MemoryFiles({ schedule: this.#diskTime() });
    this.#state = new MemoryStateStore({ schedule: this.#diskTime() });
  }

  get running(): boolean {
    return this.#running !== null;
  }

  get replica(): Replica {
    if (this.#running === null) throw new Error(`${this.name} does not run`);
    return this.#running.replica;
  }

  get machine(): StateMachine {
    if (this.#running === null) throw new Error(`${this.name} does not run`);
    return this.#running.machine;
  }

  /** Power fails; what was not synced is lost, kept or torn as `choice` says. */
  crash(choice: CrashChoice): void {
    if (this.#running === null) return;
    this.#running.replica.stop();
    this.#running = null;
    this.#life += 1;
    this.crashes += 1;
    this.#options.network.detach(this.id, this.address);
    this.#disk = this.#disk.crash(choice, this.#diskTime());
    this.#state = this.#state.crash({ schedule: this.#diskTime() });
  }

  /** Opens the disk, which takes simulated time, and begins to serve. */
  async start(): Promise<void> {
    if (this.#starting || this.#running !== null) return;
    this.#starting = true;
    await this.#start();
    this.#starting = false;
  }

  async #start(): Promise<void> {
    const { scheduler, network, invariants, configuration } = this.#options;
    const life = this.#life;
    const alive = (): boolean => this.#life === life;
    const clock = scheduler.clock(alive);
    const wal = Wal.open({
      folder: 'wal',
      files: this.#disk,
      failpoints: noFailpoints,
      limits: SIMULATED_LIMITS,
      clock,
      salt: scheduler.random.int(2 ** 31),
    });
    const { terms, lastIndex } = wal.restored;
    invariants.restarted(this.id, terms, lastIndex);
    const stateStore = this.#watchedState();
    const machine = await StateMachine.open(stateStore);
    const replica: Replica = new Replica({
      id: this.id,
      configuration,
      clock,
      random: seededRandom(scheduler.random.int(2 ** 31)),
      limits: SIMULATED_LIMITS,
      tickMs: TICK_MS,
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: HEARTBEAT_TICKS,
      transport: { send: (to, messages) => network.send(this.id, to, messages) },
      logStore: this.#watchedLog(wal),
      stateStore,
      machine,
      failpoints: noFailpoints,
      nameOf: (member) => member.slice(0, member.indexOf('.')),
      onEvent: (event) => {
        invariants.told(this.id, event);
        if (event.type === 'role') clients.leaderChanged(replica.leader, event.term);
      },
      afterTurn: () => clients.flush(),
      onFailure: (error) => {
        throw error;
      },
    });
    const clients = this.#clientService({ replica, machine, clock });
    this.#running = { replica, machine };
    network.attach(this.id, (message) => replica.receive(message));
    network.listen(this.address, {
      accept: (channel) => {
        const connection = clients.accept(channel);
        return {
          receive: (frame) => {
            if (alive()) connection.receive(frame);
          },
          closed: () => clients.closed(connection),
        };
      },
    });
    replica.start();
  }

  /** Completions of the disk take from 0.1 ms to 3 ms, rarely 50 ms. */
  #diskTime(): (complete: () => void) => void {
    const { scheduler } = this.#options;
    const life = this.#life;
    return (complete) => {
      const slow = scheduler.random.int(100) === 0;
      const delayMs = 0.1 + scheduler.random.next() * (slow ? 50 : 3);
      scheduler.plan(delayMs, () => {
        if (this.#life === life) complete();
      });
    };
  }

  #watchedLog(wal: Wal): LogStore {
    const { invariants } = this.#options;
    return {
      restored: wal.restored,
      append: (write, done) => {
        invariants.wrote(this.id, write);
        wal.append(write, done);
      },
      read: (range, done) => wal.read(range, done),
      stats: () => wal.stats(),
      close: () => wal.close(),
    };
  }

  #watchedState(): StateStore {
    const store = this.#state;
    const { invariants } = this.#options;
    return {
      restoredIndex: store.restoredIndex,
      get: (key) => store.get(key),
      scan: (range) => store.scan(range),
      apply: (index, writes) => {
        invariants.applied(this.id, index, writes);
        store.apply(index, writes);
      },
      allowDisk: (index) => store.allowDisk(index),
      pendingBytes: () => store.pendingBytes(),
      whenPendingBelow: (bytes, callback) => store.whenPendingBelow(bytes, callback),
      onFailure: (callback) => store.onFailure(callback),
      close: () => store.close(),
    };
  }

  #clientService(parts: {
    replica: Replica;
    machine: StateMachine;
    clock: ReturnType<Scheduler['clock']>;
  }): ClientService {
    const { replica, machine, clock } = parts;
    const { limits } = { limits: SIMULATED_LIMITS };
    return new ClientService(
      {
        limits,
        failpoints: noFailpoints,
        serving: { replica, machine },
        notServingReason: () => {
          throw new Error('a simulated replica serves from the start');
        },
        hello: () => ({
          protocolVersion: PROTOCOL_VERSION,
          clusterId: 'simulated',
          clusterName: 'simulated',
          replica: this.name,
          members: this.#options.members,
          leader: replica.leader,
          appliedIndex: replica.appliedIndex,
          keyBytesMax: limits.keyBytesMax,
          valueBytesMax: limits.valueBytesMax,
          operationsPerBatchMax: limits.operationsPerBatchMax,
          batchBytesMax: limits.batchBytesMax,
          frameBytesMax: limits.frameBytesMax,
          batchesPerSessionMax: limits.batchesPerSessionMax,
        }),
        status: () => '{}',
      },
      clock,
    );
  }
}
