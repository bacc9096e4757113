import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { asBalsaError, BalsaError } from '../base/errors.js';
import { type ConnectOptions, connect } from '../client/client.js';
import type { MemberAddress, ReplicaStatus } from '../rpc/protocol.js';
import { findEntry } from './entry.js';
import { freePorts } from './free-ports.js';
import { makeFolder } from './make-folder.js';
import { type ReplicaExit, ReplicaProcess, type UnexpectedExit } from './replica-process.js';
import { StatusProbe } from './status-probe.js';
import { type WaitOptions, waitUntil } from './wait-until.js';

export type { ReplicaExit, ReplicaProcess, UnexpectedExit, WaitOptions };

export interface LocalClusterOptions {
  /** Default 3. */
  readonly replicas?: number | undefined;
  /** Where logs and data go. Default: a temporary folder, removed by `close`. */
  readonly folder?: string | undefined;
  /** Leave a temporary folder where it is at `close`. Default false. */
  readonly keep?: boolean | undefined;
  /** Name of the cluster. Default `local`. */
  readonly cluster?: string | undefined;
  /** Default `info`. */
  readonly logLevel?: string | undefined;
  /** Environment of the replicas beyond our own. `BALSA_…` variables of our own are not passed on. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Further arguments of `balsa start`. */
  readonly extraArgs?: readonly string[] | undefined;
  /** The compiled command, `dist/cli/main.js`. Default: that of this package. */
  readonly entry?: string | undefined;
  /** Bound for the first election. Default 30,000. */
  readonly startTimeoutMs?: number | undefined;
}

export interface StartReplicaOptions {
  /** Further arguments for this run only. */
  readonly args?: readonly string[] | undefined;
  /** Further environment for this run only. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Wait until it answers. Default true. */
  readonly wait?: boolean | undefined;
}

export interface AddReplicaOptions extends StartReplicaOptions {
  /** Default: the next of `n1`, `n2`, …. */
  readonly name?: string | undefined;
  /**
   * Make it a member: `voter` (default) waits until it has its vote, `learner` until it is one; `null`
   * leaves it waiting to be let in.
   */
  readonly as?: 'voter' | 'learner' | null | undefined;
  /** The replica that leaves when this one gets its vote. */
  readonly replaces?: string | undefined;
}

/** Without codec: `connect` of a cluster gives bytes. */
export type LocalConnectOptions = Omit<ConnectOptions, 'endpoints' | 'codec'>;

const START_ATTEMPTS = 3;
const STOP_TIMEOUT_MS = 10_000;
const CHANGE_TIMEOUT_MS = 60_000;

/**
 * A cluster of real `balsa start` processes on this machine, with the switches that a test or a
 * demonstration needs: kill, pause, stop, start again.
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
  #replicas: readonly ReplicaProcess[];
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
      const cluster = new LocalCluster(options, entry, ports);
      try {
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

  private constructor(options: LocalClusterOptions, entry: string, ports: readonly number[]) {
    this.#options = options;
    this.#entry = entry;
    const temporary = options.folder === undefined;
    this.#removeFolder = temporary && options.keep !== true;
    this.folder = temporary
      ? mkdtempSync(join(tmpdir(), 'balsa-cluster-'))
      : resolve(options.folder ?? '.');
    makeFolder(this.folder);
    const members = ports.map((port, i) => ({ name: `n${i + 1}`, address: `127.0.0.1:${port}` }));
    this.#replicas = members.map((member) => this.#newReplica(member, members));
  }

  #newReplica(
    { name, address }: MemberAddress,
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
      args: [...startArguments({ ...this.#options, name, members, dataFolder }), ...more],
      env: { ...ownEnvironment(), ...this.#options.env },
    });
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
  // Members

  /**
   * Starts a new replica (`balsa start --join`) and lets it into the cluster.
   * @throws BalsaError `TIMEOUT`; `INTERNAL` when a replica ended by itself
   */
  async addReplica(options: AddReplicaOptions = {}): Promise<ReplicaProcess> {
    const { name = this.#nextName(), as = 'voter', args = [], env = {}, replaces } = options;
    const [port] = await freePorts(1);
    const self = { name, address: `127.0.0.1:${port}` };
    const others = this.replicas.map((replica) => ({
      name: replica.name,
      address: replica.address,
    }));
    const replica = this.#newReplica(self, [...others, self], ['--join']);
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

  /** Deletes all data of a replica that does not run. */
  wipe(name: string): void {
    const { running, dataFolder } = this.replica(name);
    if (running) throw new BalsaError('INVALID_ARGUMENT', `replica ${name} runs`);
    rmSync(dataFolder, { recursive: true, force: true });
  }

  async #forget(name: string): Promise<void> {
    await this.#probe(name).close();
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

interface StartArguments extends LocalClusterOptions {
  readonly name: string;
  readonly members: readonly MemberAddress[];
  readonly dataFolder: string;
}

function startArguments(options: StartArguments): string[] {
  const members = options.members.map((member) => `${member.name}=${member.address}`).join(',');
  return [
    'start',
    ...['--name', options.name],
    ...['--members', members],
    ...['--data', options.dataFolder],
    ...['--cluster', options.cluster ?? 'local'],
    ...['--log-level', options.logLevel ?? 'info'],
    ...(options.extraArgs ?? []),
  ];
}

/** Settings that the user has for his own replicas and clients are not for these. */
function ownEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('BALSA_')),
  );
}

function portWasTaken(replica: ReplicaProcess): boolean {
  return replica.unexpectedExit?.logTail.includes('PORT_IN_USE') ?? false;
}

async function stopOrKill(replica: ReplicaProcess): Promise<void> {
  const late = setTimeout(() => {
    if (replica.running) void replica.end('SIGKILL');
  }, STOP_TIMEOUT_MS);
  await replica.end('SIGTERM');
  clearTimeout(late);
}
