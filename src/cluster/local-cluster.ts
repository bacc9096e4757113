import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { asBalsaError, BalsaError } from '../base/errors.js';
import { connect } from '../client/client.js';
import { bytes } from '../client/codec.js';
import { systemEnvironment } from '../client/environment.js';
import { openClient } from '../client/kv-client.js';
import type { MemberAddress, ReplicaStatus } from '../rpc/protocol.js';
import type {
  AddReplicaOptions,
  LocalClusterOptions,
  LocalConnectOptions,
  PlacedConnectOptions,
  StartReplicaOptions,
} from './cluster-options.js';
import { findEntry } from './entry.js';
import type { LinkShape } from './flow.js';
import { freePorts } from './free-ports.js';
import type { CutOptions } from './links.js';
import { makeFolder } from './make-folder.js';
import type { Network } from './network.js';
import { openNetwork, type PlaceOfReplica, placeFor, SWITCHED_NAMES } from './open-network.js';
import { portWasTaken, stopOrKill } from './replica-ends.js';
import { type ReplicaExit, ReplicaProcess, type UnexpectedExit } from './replica-process.js';
import { ownEnvironment, type StartArguments, startArguments } from './start-arguments.js';
import { StatusProbe } from './status-probe.js';
import { type WaitOptions, waitUntil } from './wait-until.js';

export type {
  AddReplicaOptions,
  CutOptions,
  LinkShape,
  LocalClusterOptions,
  LocalConnectOptions,
  PlacedConnectOptions,
  ReplicaExit,
  ReplicaProcess,
  StartReplicaOptions,
  UnexpectedExit,
  WaitOptions,
};

const START_ATTEMPTS = 3;
const CHANGE_TIMEOUT_MS = 60_000;

/**
 * A cluster of real `balsa start` processes on this machine, with the switches that a test or a
 * demonstration needs: kill, pause, stop, start again, and cut the network between them.
 *
 * No replica outlives this process, however it ends.
 *
 * @example
 * ```ts
 * await using cluster = await LocalCluster.start();
 * await using db = await cluster.connect();
 * await db.put('greeting', 'hello');
 * await cluster.kill(await cluster.leader());
 * console.log((await db.get('greeting')).value?.toString()); // hello
 * ```
 */
export class LocalCluster implements AsyncDisposable {
  readonly folder: string;
  readonly #options: LocalClusterOptions;
  readonly #entry: string;
  #replicas: readonly ReplicaProcess[] = [];
  readonly #links: Network | null;
  readonly #probes = new Map<string, StatusProbe>();
  readonly #removeFolder: boolean;
  #closed: Promise<void> | null = null;

  /**
   * Starts all replicas and waits until they have a leader.
   *
   * @throws BalsaError `INTERNAL` when a replica ends by itself, `TIMEOUT` when there is no leader
   *   in time, `DATA_FOLDER_UNUSABLE`
   */
  static async start(options: LocalClusterOptions = {}): Promise<LocalCluster> {
    const entry = options.entry ?? findEntry();
    for (let attempt = 1; ; attempt += 1) {
      const ports = await freePorts(options.replicas ?? 3);
      const cluster = new LocalCluster(options, entry);
      try {
        await cluster.#addFounders(ports);
        for (const replica of cluster.replicas) replica.spawn();
        await cluster.waitForLeader({ timeoutMs: options.startTimeoutMs });
        return cluster;
      } catch (error) {
        // Between looking for a free port and using it, another process may have taken it.
        const lostRace = cluster.replicas.some(portWasTaken) && attempt < START_ATTEMPTS;
        await cluster.close();
        if (!lostRace) throw error;
      }
    }
  }

  private constructor(options: LocalClusterOptions, entry: string) {
    this.#options = options;
    this.#entry = entry;
    const temporary = options.folder === undefined;
    this.#removeFolder = temporary && options.keep !== true;
    this.folder = temporary
      ? mkdtempSync(join(tmpdir(), 'balsa-cluster-'))
      : resolve(options.folder ?? '.');
    makeFolder(this.folder);
    this.#links = openNetwork(options.network);
  }

  async #addFounders(ports: readonly number[]): Promise<void> {
    const places = await Promise.all(
      ports.map((port, i) => placeFor(this.#links, `n${i + 1}`, port)),
    );
    for (const place of places) await this.#links?.addReplica(place);
    const members = places.map(({ name, address }) => ({ name, address }));
    this.#replicas = places.map((place) => this.#newReplica(place, members));
  }

  #newReplica(
    { name, address, launcher }: PlaceOfReplica,
    members: readonly MemberAddress[],
    more: readonly string[] = [],
  ): ReplicaProcess {
    const dataFolder = join(this.folder, name);
    this.#probes.set(name, new StatusProbe(address));
    return new ReplicaProcess({
      name,
      address,
      dataFolder,
      logFile: join(this.folder, `${name}.log`),
      entry: this.#entry,
      launcher,
      args: [...this.#arguments({ name, members, dataFolder }), ...more],
      env: {
        ...ownEnvironment(),
        ...this.#options.env,
        ...this.#options.environmentOf?.(name),
      },
      onProcessEnd: this.#options.onProcessEnd,
    });
  }

  #arguments(own: Pick<StartArguments, 'name' | 'members' | 'dataFolder'>): string[] {
    const routes = this.#links?.routesOf(own.name) ?? {};
    return startArguments({ ...this.#options, ...own, routes });
  }

  /** Those that were started with the cluster or added, but for those that were removed. */
  get replicas(): readonly ReplicaProcess[] {
    return this.#replicas;
  }

  /** Addresses of all replicas, running or not. */
  get endpoints(): readonly string[] {
    return this.replicas.map((replica) => replica.address);
  }

  get running(): readonly ReplicaProcess[] {
    return this.replicas.filter((replica) => replica.running);
  }

  /** @throws BalsaError `INVALID_ARGUMENT` when there is none of this name */
  replica(name: string): ReplicaProcess {
    const found = this.replicas.find((replica) => replica.name === name);
    if (found !== undefined) return found;
    throw new BalsaError('INVALID_ARGUMENT', `there is no replica ${name}`);
  }

  // -------------------------------------------------------------------------------------------
  // Switches

  /** Ends the process at once, as a crash does. Resolves when it has ended. */
  kill(name: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<ReplicaExit> {
    return this.#end(name, signal);
  }

  /** Asks the process to stop in order (SIGTERM). Resolves when it has ended. */
  stop(name: string): Promise<ReplicaExit> {
    return this.#end(name, 'SIGTERM');
  }

  /** SIGSTOP: the process lives and its connections stand, but nothing moves. */
  pause(name: string): void {
    this.replica(name).pause();
  }

  resume(name: string): void {
    this.replica(name).resume();
  }

  /** Starts a replica that does not run, on the data that it has. */
  async start(name: string, options: StartReplicaOptions = {}): Promise<void> {
    this.replica(name).spawn({ args: options.args ?? [], env: options.env ?? {} });
    if (options.wait ?? true) await this.waitForAnswer(name);
  }

  /** Stops a replica in order if it runs, then starts it. */
  async restart(name: string, options: StartReplicaOptions = {}): Promise<void> {
    if (this.replica(name).running) await this.stop(name);
    await this.start(name, options);
  }

  // -------------------------------------------------------------------------------------------
  // The network (`network: 'switched'`)

  /**
   * Cuts all links between places of different groups; replaces what was cut before. Each replica must be in
   * a group; so may places of clients (`connectFrom`), which otherwise reach every replica.
   *
   * @example
   * ```ts
   * await using cluster = await LocalCluster.start({ replicas: 5, network: 'switched' });
   * await using db = await cluster.connectFrom('laptop');
   * cluster.partition([['n1', 'n2', 'laptop'], ['n3', 'n4', 'n5']]);
   * const stale = await db.get('greeting', { consistency: 'any' });
   * cluster.heal();
   * ```
   * @throws BalsaError `INVALID_ARGUMENT`
   */
  partition(groups: readonly (readonly string[])[], options: CutOptions = {}): void {
    this.#network().partition(groups, options);
  }

  /** Cuts all links of one replica, or of one place of clients, beside what is cut already. */
  isolate(name: string, options: CutOptions = {}): void {
    this.#network().isolate(name, options);
  }

  /** Cuts what `from` sends to `to`, beside what is cut already; the way back goes on. */
  cut(from: string, to: string, options: CutOptions = {}): void {
    this.#network().cut(from, to, options);
  }

  /** What `from` sends to `to` passes badly until `heal`, or until it is told `null`; the way back is not touched. */
  shape(from: string, to: string, shape: LinkShape | null): void {
    this.#network().shape(from, to, shape);
  }

  /** Mends all links. What was sent into them and has not been given up arrives. */
  heal(): void {
    this.#network().heal();
  }

  #network(): Network {
    if (this.#links !== null) return this.#links;
    throw new BalsaError(
      'INVALID_ARGUMENT',
      "the network of this cluster has no switches: start it with network: 'switched'",
    );
  }

  // -------------------------------------------------------------------------------------------
  // Members

  /**
   * Starts a new replica (`balsa start --join`) and lets it into the cluster.
   * @throws BalsaError `TIMEOUT`; `INTERNAL` when a replica ended by itself
   */
  async addReplica(options: AddReplicaOptions = {}): Promise<ReplicaProcess> {
    const { name = this.#nextName(), as = 'voter', args = [], env = {}, replaces } = options;
    const [port = 0] = await freePorts(1);
    const others = this.replicas.map((replica) => ({
      name: replica.name,
      address: replica.address,
    }));
    if (this.#links !== null && !SWITCHED_NAMES.includes(name)) {
      const known = SWITCHED_NAMES.join(', ');
      throw new BalsaError('INVALID_ARGUMENT', `a switched network has links for ${known} only`);
    }
    const place = await placeFor(this.#links, name, port);
    const self = { name, address: place.address };
    await this.#links?.addReplica(place);
    const replica = this.#newReplica(place, [...others, self], ['--join']);
    this.#replicas = [...this.#replicas, replica];
    replica.spawn({ args, env });
    await this.waitForAnswer(name);
    if (as === null) return replica;
    const leaves = replaces === undefined ? null : this.exit(replaces);
    await using db = await this.connect({ timeoutMs: CHANGE_TIMEOUT_MS });
    await db.cluster.add({ ...self, promote: as === 'voter', replaces });
    if (as === 'voter') await db.cluster.settled();
    await leaves;
    if (replaces !== undefined) await this.#forget(replaces);
    return replica;
  }

  /**
   * Removes a replica from the cluster, and waits until its process has ended, which it does by itself.
   * @throws BalsaError as `ClusterAdmin.remove`
   */
  async removeReplica(name: string): Promise<void> {
    await using db = await this.connect({ timeoutMs: CHANGE_TIMEOUT_MS });
    const left = this.replica(name).running ? this.exit(name) : null;
    await db.cluster.remove(name);
    await left;
    await this.#forget(name);
  }

  /** Kills a replica if it runs, and knows nothing of it any more. Whether it is a member is another matter. */
  async discard(name: string): Promise<void> {
    if (this.replica(name).running) await this.kill(name);
    await this.#forget(name);
  }

  /** Deletes all data of a replica that does not run. */
  wipe(name: string): void {
    const { running, dataFolder } = this.replica(name);
    if (running) throw new BalsaError('INVALID_ARGUMENT', `replica ${name} runs`);
    rmSync(dataFolder, { recursive: true, force: true });
  }

  async #forget(name: string): Promise<void> {
    await this.#probe(name).close();
    await this.#links?.removeReplica(name);
    this.#replicas = this.#replicas.filter((replica) => replica.name !== name);
  }

  #nextName(): string {
    const names = new Set(this.#probes.keys());
    let number = 1;
    while (names.has(`n${number}`)) number += 1;
    return `n${number}`;
  }

  // -------------------------------------------------------------------------------------------
  // Looks

  /** What one replica says of itself. */
  status(name: string): Promise<ReplicaStatus> {
    return this.#probe(name).ask();
  }

  /** Of all replicas that answer. */
  async statuses(): Promise<ReplicaStatus[]> {
    const able = this.replicas.filter((replica) => replica.running && !replica.paused);
    const asked = await Promise.allSettled(able.map((replica) => this.status(replica.name)));
    return asked.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  }

  /** Name of the leader; waits for one when there is none. */
  async leader(options: WaitOptions = {}): Promise<string> {
    return (await this.waitForLeader(options)).replica;
  }

  /**
   * Waits until a replica leads and a majority follows it.
   * @returns the leader's status
   * @throws BalsaError `TIMEOUT`; `INTERNAL` when a replica ended by itself
   */
  waitForLeader(options: WaitOptions = {}): Promise<ReplicaStatus> {
    return this.#waitUntil('a leader', options, async () => {
      const statuses = await this.statuses();
      const leader = statuses
        .filter((status) => status.role === 'leader')
        .sort((a, b) => b.term - a.term)[0];
      if (leader === undefined) return undefined;
      const followers = statuses.filter(
        (status) => status.leader === leader.replica && status.term === leader.term,
      );
      const voters = leader.membership.members.filter((member) => member.role === 'voter');
      const follows = voters.filter((member) => followers.some((f) => f.replica === member.name));
      return follows.length > voters.length / 2 ? leader : undefined;
    });
  }

  /** Waits until every running replica has applied the log through `index`. */
  async waitForApplied(index: number, options: WaitOptions = {}): Promise<void> {
    await this.#waitUntil(`index ${index} on every replica`, options, async () => {
      const statuses = await this.statuses();
      const all = statuses.length === this.running.length;
      return all && statuses.every((status) => status.appliedIndex >= index) ? true : undefined;
    });
  }

  /**
   * Waits until every running replica has applied the same, which it does soon when nobody writes.
   * @returns their statuses, in the order of the replicas
   */
  waitForEqual(options: WaitOptions = {}): Promise<ReplicaStatus[]> {
    return this.#waitUntil('the same index on every replica', options, async () => {
      const statuses = await this.statuses();
      const first = statuses[0];
      if (first === undefined || statuses.length < this.running.length) return undefined;
      return statuses.every((status) => status.appliedIndex === first.appliedIndex)
        ? statuses
        : undefined;
    });
  }

  /**
   * Waits until `holds` gives true. Fails at once when a replica ends by itself.
   * @param what completes the sentence "waited for …" of the error
   */
  async waitFor(
    what: string,
    holds: () => Promise<boolean>,
    options: WaitOptions = {},
  ): Promise<void> {
    await this.#waitUntil(what, options, async () => ((await holds()) ? true : undefined));
  }

  /** Waits until the replica answers. */
  waitForAnswer(name: string, options: WaitOptions = {}): Promise<ReplicaStatus> {
    return this.#waitUntil(`an answer of ${name}`, options, () =>
      this.status(name).catch(() => undefined),
    );
  }

  /**
   * Waits for a replica that ends by itself, e.g. one that must refuse its data. From this call on such
   * an end is expected: other waits do not fail for it.
   */
  exit(name: string): Promise<ReplicaExit> {
    return this.replica(name).exit();
  }

  // -------------------------------------------------------------------------------------------
  // Clients

  /** A client of the cluster. */
  connect(options: LocalConnectOptions = {}) {
    return connect({ ...options, endpoints: this.endpoints });
  }

  /** A client that stays at this one replica: its reads are served there. */
  connectTo(name: string, options: LocalConnectOptions = {}) {
    const endpoints = [this.replica(name).address];
    return connect({ ...options, endpoints, followLeader: false });
  }

  /**
   * A client at a place of its own on a `switched` network, whose links to the replicas can be cut as those
   * between replicas can.
   */
  async connectFrom(place: string, { replica, ...options }: PlacedConnectOptions = {}) {
    const links = this.#network();
    await links.addPlace(place);
    const endpoints = replica === undefined ? this.endpoints : [this.replica(replica).address];
    const followLeader = replica === undefined && options.followLeader !== false;
    const environment = systemEnvironment();
    const dial: typeof environment.dial = (to) =>
      environment.dial({ ...to, address: links.through(place, to.address) });
    const settings = { ...options, codec: bytes, endpoints, followLeader };
    return openClient(settings, { ...environment, dial });
  }

  // -------------------------------------------------------------------------------------------
  // End

  /** Stops every replica, by force if it takes more than ten seconds, and removes a temporary folder. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#probes.values()].map((probe) => probe.close()));
    await Promise.all(this.running.map(stopOrKill));
    await this.#links?.close();
    if (this.#removeFolder) rmSync(this.folder, { recursive: true, force: true });
  }

  async #end(name: string, signal: NodeJS.Signals): Promise<ReplicaExit> {
    const exit = await this.replica(name).end(signal);
    await this.#probe(name).close();
    return exit;
  }

  #probe(name: string): StatusProbe {
    const probe = this.#probes.get(this.replica(name).name);
    if (probe !== undefined) return probe;
    throw new BalsaError('INVALID_ARGUMENT', `there is no replica ${name}`);
  }

  #waitUntil<T>(
    what: string,
    options: WaitOptions,
    look: () => Promise<T | undefined>,
  ): Promise<T> {
    const lookOut = (): Promise<T | undefined> => {
      for (const replica of this.replicas) replica.checkAlive();
      return look();
    };
    return waitUntil(what, lookOut, options).catch((error: unknown) => {
      const known = asBalsaError(error);
      if (known.code !== 'TIMEOUT') throw known;
      throw new BalsaError('TIMEOUT', `${known.message}\n${this.#tails()}`, { cause: known });
    });
  }

  #tails(): string {
    return this.replicas.map((replica) => `--- ${replica.name}\n${replica.tail(8)}`).join('\n');
  }
}
