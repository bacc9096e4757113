import type { Configuration } from '../../src/raft/types.js';
import { tearUnsynced } from '../../src/storage/memory-files.js';
import { Invariants } from './invariants.js';
import { GOOD_NETWORK, SimulatedNetwork } from './network.js';
import { Scheduler } from './scheduler.js';
import { SimulatedReplica } from './simulated-replica.js';

/** A whole cluster in one process, in simulated time: same seed, same run. */
export class SimulatedCluster {
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly invariants = new Invariants();
  readonly replicas: readonly SimulatedReplica[];
  #faulty = false;

  constructor(options: { seed: number; replicas: number }) {
    this.scheduler = new Scheduler(options.seed);
    this.network = new SimulatedNetwork(this.scheduler);
    const names = Array.from({ length: options.replicas }, (_, i) => `n${i + 1}`);
    const configuration: Configuration = {
      index: 0,
      voters: names.map((name) => `${name}.1`),
      votersOutgoing: [],
      learners: [],
    };
    const members = names.map((name) => ({ name, address: `${name}:1` }));
    const { scheduler, network, invariants } = this;
    this.replicas = names.map(
      (name) =>
        new SimulatedReplica({ name, configuration, members, scheduler, network, invariants }),
    );
  }

  get endpoints(): readonly string[] {
    return this.replicas.map((replica) => replica.address);
  }

  get crashes(): number {
    return this.replicas.reduce((sum, replica) => sum + replica.crashes, 0);
  }

  async start(): Promise<void> {
    await this.#startAll();
  }

  /** From now on machines crash and links are cut, until {@link calm}. */
  disturb(): void {
    const { random } = this.scheduler;
    this.#faulty = true;
    this.network.faults = {
      loss: random.next() * 0.1,
      duplication: random.next() * 0.1,
      streamBreak: random.next() * 0.01,
      latencyMs: 1 + random.next() * 30,
    };
    this.#planFault();
  }

  /** No more faults; what is down comes back. */
  async calm(): Promise<void> {
    this.#faulty = false;
    this.network.faults = { ...GOOD_NETWORK };
    this.network.heal();
    await this.#startAll();
  }

  async #startAll(): Promise<void> {
    for (const replica of this.replicas) this.#restart(replica);
    const allRun = (): boolean => this.replicas.every((replica) => replica.running);
    await this.scheduler.run(this.scheduler.nowMs + 10_000, allRun);
    if (!allRun()) throw new Error('a replica does not start');
  }

  #planFault(): void {
    const { random } = this.scheduler;
    this.scheduler.plan(100 + random.next() * 3000, () => {
      if (!this.#faulty) return;
      this.#oneFault();
      this.#planFault();
    });
  }

  #oneFault(): void {
    const { random } = this.scheduler;
    const dice = random.int(10);
    if (dice < 5) this.#crash(this.#anyReplica());
    else if (dice < 6) for (const replica of this.replicas) this.#crash(replica);
    else if (dice < 9) this.#partition();
    else this.network.heal();
  }

  #crash(replica: SimulatedReplica): void {
    if (!replica.running) return;
    const { random } = this.scheduler;
    replica.crash(tearUnsynced(random));
    this.scheduler.plan(50 + random.next() * 3000, () => {
      if (!replica.running) this.#restart(replica);
    });
  }

  #restart(replica: SimulatedReplica): void {
    replica.start().catch((error: unknown) => {
      // Out of the promise: the scheduler's run must end with it.
      this.scheduler.plan(0, () => {
        throw error;
      });
    });
  }

  /** One machine on one side, or a single direction of a single link. */
  #partition(): void {
    const { random } = this.scheduler;
    const one = this.#anyReplica();
    const oneWay = random.int(3) === 0;
    for (const other of this.replicas) {
      if (other === one) continue;
      this.network.cut(one.id, other.id);
      if (oneWay) break;
      this.network.cut(other.id, one.id);
    }
    this.scheduler.plan(200 + random.next() * 5000, () => this.network.heal());
  }

  #anyReplica(): SimulatedReplica {
    return this.replicas[this.scheduler.random.int(this.replicas.length)] as SimulatedReplica;
  }
}
