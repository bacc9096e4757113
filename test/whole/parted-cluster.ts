import { join } from 'node:path';
import { asBalsaError } from '../../src/base/errors.js';
import type { Client } from '../../src/client/kv-client.js';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { bundleProcedures } from '../../src/compute/bundle.js';
import {
  type Answer,
  type Latest,
  LEASE_MS,
  NOTED,
  probe,
  type Situation,
  VALUE_BEFORE,
} from '../guarantees/probes.js';
import type { Ending, Guarantee, Observation, Place } from '../guarantees/types.js';
import { Load } from './support.js';

/** A call that finds nobody fails behind this; longer than a replica lets a read wait. */
const TIMEOUT_MS = 4000;
/** Of the probes: the one key that is there before the cut. */
const KEY = 'kept';

/** What every probe may use. */
type Given = Pick<Situation, 'key' | 'revision' | 'compacted' | 'lease'>;

/** Where the old leader ends up. */
export type LeaderSide = Place;

/**
 * Five real replicas whose cables are cut so that two are on one side and three on the other, with a client
 * on each side, and one on the side of the three that writes all the time.
 */
export class PartedCluster implements AsyncDisposable {
  readonly cluster: LocalCluster;
  readonly clients: Readonly<Record<Place, Client>>;
  readonly load: Load;
  readonly #loader: Client;
  readonly #given: Given;
  #members: Readonly<Record<Place, readonly string[]>> = { minority: [], majority: [] };
  #calls = 0;
  /** By row and place: the key that the last call of it was about. */
  readonly keys = new Map<string, string>();

  private constructor(parts: {
    readonly cluster: LocalCluster;
    readonly clients: Readonly<Record<Place, Client>>;
    readonly loader: Client;
    readonly given: Given;
  }) {
    this.cluster = parts.cluster;
    this.clients = parts.clients;
    this.#loader = parts.loader;
    this.#given = parts.given;
    this.load = new Load(parts.loader, { outstanding: 2 });
  }

  static async start(leaderSide: LeaderSide): Promise<PartedCluster> {
    const cluster = await LocalCluster.start({ replicas: 5, network: 'switched' });
    const clients = {
      minority: await cluster.connectFrom('minority', { timeoutMs: TIMEOUT_MS }),
      majority: await cluster.connectFrom('majority', { timeoutMs: TIMEOUT_MS }),
    };
    const loader = await cluster.connectFrom('load');
    const procedures = join(import.meta.dirname, '../guarantees/procedures.ts');
    await loader.procedures.deploy(await bundleProcedures(procedures));
    await warmUp(cluster);
    const { revision: compacted } = await clients.minority.put(KEY, 'long gone');
    const { revision } = await clients.minority.put(KEY, VALUE_BEFORE);
    await clients.majority.compact(revision);
    const { id } = await clients.majority.lease({ ttlMs: LEASE_MS, keepAlive: false });
    await cluster.waitForEqual();
    const parted = new PartedCluster({
      ...{ cluster, clients, loader },
      given: { key: KEY, revision, compacted, lease: id },
    });
    await parted.takeSides(leaderSide);
    return parted;
  }

  get members(): Readonly<Record<Place, readonly string[]>> {
    return this.#members;
  }

  /** Says who will be where, by who leads now. */
  async takeSides(leaderSide: LeaderSide): Promise<void> {
    const names = this.cluster.replicas.map(({ name }) => name);
    const leader = await this.cluster.leader();
    const others = names.filter((name) => name !== leader);
    const minority =
      leaderSide === 'minority' ? [leader, ...others.slice(0, 1)] : others.slice(0, 2);
    this.#members = { minority, majority: names.filter((name) => !minority.includes(name)) };
  }

  cut(): void {
    const { minority, majority } = this.members;
    this.cluster.partition([
      [...minority, 'minority'],
      [...majority, 'majority', 'load'],
    ]);
  }

  /** Each side knows where it is: the ones have a leader, the others know that they have none. */
  async untilNoticed(staleMs: number): Promise<void> {
    const { clients, cluster } = this;
    await cluster.waitFor('the majority to be served', async () => {
      const { meta } = await clients.majority.get(KEY, { consistency: 'any' });
      return meta.side === 'majority' && (await this.#leads('majority'));
    });
    // A new leader has its lane to begin.
    await clients.majority.call('note', NOTED, { timeoutMs: 60_000 });
    await cluster.waitFor('the minority to know that it is one', async () => {
      const { meta } = await clients.minority.get(KEY, { consistency: 'any' });
      return meta.side === 'isolated' && (meta.stalenessMs ?? 0) > staleMs;
    });
    await cluster.waitFor('nobody to lead in the minority', async () => {
      return !(await this.#leads('minority'));
    });
  }

  async heal(): Promise<void> {
    const { clients, cluster } = this;
    cluster.heal();
    for (const { name } of cluster.replicas) {
      await using db = await cluster.connectTo(name);
      await cluster.waitFor(`${name} to be back`, async () => {
        return (await db.get(KEY, { consistency: 'any' })).meta.side === 'majority';
      });
    }
    for (const db of Object.values(clients)) await db.get(KEY, { timeoutMs: 20_000 });
    await clients.majority.call('note', NOTED, { timeoutMs: 60_000 });
  }

  /** What is told to whoever has heard of everything. */
  async latest(): Promise<Latest> {
    const { meta, revision } = await this.clients.majority.put('latest', 'x');
    const { id } = await this.clients.majority.lease({ ttlMs: LEASE_MS, keepAlive: false });
    return { token: meta.token, revision, lease: id };
  }

  /** Tries all rows, all in this turn. */
  observe(place: Place, rows: readonly Guarantee[], latest: Latest): Promise<Observation[]> {
    const calls = rows.flatMap((row) =>
      row.operations.map((operation) => this.#try(place, row, operation, latest)),
    );
    return Promise.all(calls);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster.close();
    await Promise.all([...Object.values(this.clients), this.#loader].map((db) => db.close()));
  }

  async #leads(place: Place): Promise<boolean> {
    const statuses = await Promise.all(
      this.members[place].map((name) => this.cluster.status(name)),
    );
    return statuses.some(({ role }) => role === 'leader');
  }

  async #try(
    place: Place,
    row: Guarantee,
    operation: string,
    latest: Latest,
  ): Promise<Observation> {
    this.#calls += 1;
    const freshKey = `probe/${this.#calls}`;
    this.keys.set(`${row.id} ${place}`, freshKey);
    const startedMs = performance.now();
    const result = await probe(row, operation, {
      ...{ ...this.#given, db: this.clients[place], latest },
      freshKey,
    }).then(answered, refused);
    const tookMs = Math.round(performance.now() - startedMs);
    return { row: row.id, operation, place, ...result, tookMs };
  }
}

/** The first call of each kind compiles the interpreter at each replica: that takes its time on a busy machine. */
async function warmUp(cluster: LocalCluster): Promise<void> {
  const slow = { timeoutMs: 60_000 };
  const names = cluster.replicas.map(({ name }) => name);
  await cluster.waitForEqual();
  for (const name of names) {
    await using db = await cluster.connectTo(name, slow);
    await db.call('peek', NOTED, { consistency: 'any' });
    await db.call('count', 'warm', { consistency: 'ap-local' });
  }
  await using db = await cluster.connect(slow);
  await db.call('note', NOTED);
}

type Result = Pick<Observation, 'ending' | 'meta' | 'value'>;

function answered({ meta, value }: Answer): Result {
  if (meta === null) return { ending: { served: true }, meta, value };
  const { level, replica, side, stalenessMs, revision, token } = meta;
  const observed = { level, replica, side, stalenessMs, revision, token };
  return { ending: { served: true }, meta: observed, value };
}

function refused(cause: unknown): Result {
  const { code, outcome, message } = asBalsaError(cause);
  // A mistake of the test is no answer of the cluster.
  if (code === 'INTERNAL') throw new Error(message, { cause });
  const ending: Ending = { served: false, code, outcome: outcome ?? null };
  return { ending, meta: null, value: null };
}
