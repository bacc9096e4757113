import { seededRandom } from '../../src/base/random.js';
import type { BalsaError } from '../../src/client/client.js';
import { text } from '../../src/client/codec.js';
import { type Client, openClient } from '../../src/client/kv-client.js';
import type { StateMachine } from '../../src/statemachine/state-machine.js';
import type { SimulatedCluster } from './simulated-cluster.js';

type TextClient = Client<string, string, 'text'>;

/** What is known of one key. Only its owner writes it: 1, 2, 3, … in this order. */
class KeyHistory {
  readonly key: string;
  attempted = 0;
  /** Value by revision, of puts that were acknowledged. */
  readonly acknowledged = new Map<number, number>();
  readonly notApplied = new Set<number>();
  unknown = 0;
  /** No read that begins now may return less. */
  floor = 0;

  constructor(key: string) {
    this.key = key;
  }
}

/**
 * Clients of the real library that write and read through a cluster while it is disturbed, and the
 * checks of what they were told: reads are linearizable, writes are applied once, in order.
 */
export class Workload {
  readonly #cluster: SimulatedCluster;
  readonly #clients: { readonly db: TextClient; readonly keys: readonly KeyHistory[] }[] = [];
  #stopped = false;
  #busy = 0;
  #failure: Error | null = null;
  puts = 0;
  gets = 0;
  unknown = 0;

  constructor(cluster: SimulatedCluster) {
    this.#cluster = cluster;
  }

  get acknowledged(): number {
    return this.#histories.reduce((sum, history) => sum + history.acknowledged.size, 0);
  }

  get #histories(): KeyHistory[] {
    return this.#clients.flatMap((client) => client.keys);
  }

  /** Nothing is under way any more. */
  get idle(): boolean {
    return this.#busy === 0;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Opens the clients and sets them to work; each has several calls under way at once. */
  async start(clients: number): Promise<void> {
    for (let i = 0; i < clients; i += 1) {
      const keys = [0, 1].map((n) => new KeyHistory(`client${i}/key${n}`));
      let db: TextClient | null = null;
      this.#open(i).then(
        (opened) => {
          db = opened;
        },
        (error: unknown) => this.#fail(error),
      );
      await this.#cluster.scheduler.run(this.#cluster.scheduler.nowMs + 20_000, () => db !== null);
      if (db === null) throw new Error(`client ${i} finds no replica`);
      this.#clients.push({ db, keys });
    }
    for (const { db, keys } of this.#clients) {
      for (const history of keys) {
        this.#run(() => this.#write(db, history));
        this.#run(() => this.#write(db, history));
      }
      this.#run(() => this.#read(db));
    }
  }

  #open(number: number): Promise<TextClient> {
    const { scheduler, network, endpoints } = this.#cluster;
    const random = seededRandom(scheduler.random.int(2 ** 31));
    return openClient(
      {
        endpoints,
        codec: text,
        timeoutMs: 4000,
        connectTimeoutMs: 15_000,
        clientName: `c${number}`,
      },
      {
        clock: scheduler.clock(() => true),
        random,
        dial: (options) => network.dial(options),
        newSessionId: () => Buffer.from(Array.from({ length: 16 }, () => random.int(256))),
      },
    ) as Promise<TextClient>;
  }

  /** Repeats a call with pauses in simulated time, until the workload stops. */
  #run(call: () => Promise<void>): void {
    const { scheduler } = this.#cluster;
    this.#busy += 1;
    call().then(
      () => {
        this.#busy -= 1;
        if (this.#stopped) return;
        this.#busy += 1;
        scheduler.plan(scheduler.random.next() * 100, () => {
          this.#busy -= 1;
          this.#run(call);
        });
      },
      (error: unknown) => this.#fail(error),
    );
  }

  async #write(db: TextClient, history: KeyHistory): Promise<void> {
    if (this.#stopped) return;
    this.puts += 1;
    history.attempted += 1;
    const value = history.attempted;
    try {
      const { revision } = await db.put(history.key, String(value));
      history.acknowledged.set(revision, value);
      history.floor = Math.max(history.floor, value);
    } catch (error) {
      const { outcome } = error as BalsaError;
      if (outcome === 'not-applied') {
        history.notApplied.add(value);
      } else if (outcome === 'unknown') {
        history.unknown += 1;
        this.unknown += 1;
      } else {
        throw error;
      }
    }
  }

  async #read(db: TextClient): Promise<void> {
    if (this.#stopped) return;
    this.gets += 1;
    const { random } = this.#cluster.scheduler;
    const histories = this.#histories;
    const history = histories[random.int(histories.length)] as KeyHistory;
    const { floor } = history;
    try {
      const { value } = await db.get(history.key);
      const read = Number(value ?? 0);
      if (read < floor) {
        throw new Error(`stale read of ${history.key}: ${read}, when ${floor} was already seen`);
      }
      if (read > history.attempted) throw new Error(`${history.key} holds ${read}, never written`);
      history.floor = Math.max(history.floor, read);
    } catch (error) {
      if ((error as BalsaError).retryable !== true) throw error;
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= error as Error;
    // Out of the promise: the scheduler's run must end with it.
    this.#cluster.scheduler.plan(0, () => {
      throw this.#failure;
    });
  }

  /** What one replica holds must be what the clients were told, each write once and in order. */
  verify(machine: StateMachine): void {
    for (const history of this.#histories) {
      const applied = writesOf(machine, history.key);
      const values = applied.map((write) => write.value);
      const sorted = [...new Set(values)].sort((a, b) => a - b);
      check(
        values.join() === sorted.join(),
        `${history.key}: applied twice or out of order: ${values}`,
      );
      const byRevision = new Map(applied.map((write) => [write.revision, write.value]));
      for (const [revision, value] of history.acknowledged) {
        check(
          byRevision.get(revision) === value,
          `${history.key}: lost ${value} of revision ${revision}`,
        );
      }
      for (const value of history.notApplied) {
        check(!sorted.includes(value), `${history.key}: ${value} was said not to be applied`);
      }
      const known = history.acknowledged.size;
      check(values.length <= known + history.unknown, `${history.key}: more writes than were made`);
    }
  }

  async close(): Promise<void> {
    for (const { db } of this.#clients) await db.close();
  }
}

/** All puts of a key, oldest first. */
function writesOf(machine: StateMachine, key: string): { revision: number; value: number }[] {
  const found: { revision: number; value: number }[] = [];
  let at: number | null = null;
  for (;;) {
    const item = machine.get(Buffer.from(key), at);
    if (item === null) return found.reverse();
    found.push({ revision: item.modRevision, value: Number(Buffer.from(item.value).toString()) });
    at = item.modRevision - 1;
  }
}

function check(condition: boolean, violation: string): void {
  if (!condition) throw new Error(violation);
}
