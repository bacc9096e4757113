import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client, ReplicaStatus } from '../../src/client/client.js';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import type { ReplicaProcess } from '../../src/cluster/replica-process.js';
import { ClockFile } from './clock-file.js';
import { removeClockLeftovers } from './clock-leftovers.js';
import { DiskFile } from './disk-file.js';
import { type Cause, type End, Ends, endOf, isOrderly, type StrangeEnd } from './ends.js';
import { JobWorkers } from './job-workers.js';
import { hasLoaded, type Machine } from './machine.js';

export interface SystemOptions {
  readonly nodes: number;
  /** For logs and data. */
  readonly folder: string;
  readonly machine: Machine;
  /** The time of day of each replica can be made wrong. */
  readonly clocks: boolean;
  /** What is between them: proxies of ours, or namespaces with packet filters (root). */
  readonly network: 'proxies' | 'namespaces';
  /** They begin with the oldest formats. */
  readonly oldReplicas: boolean;
  /** Leaders read under a lease. */
  readonly leaseReads: boolean;
  /** The compiled command. Default: that of this project. */
  readonly entry?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
}

/** Where clients are: each has links of its own to every replica. */
export const SITES = ['east', 'west', 'south'] as const;

/** So small that a run of a minute sees compactions, new segments, snapshots and comparisons of the state. */
const LIMITS = {
  logEntriesMax: 1000,
  logTrailingEntries: 150,
  walSegmentBytes: 256 * 1024,
  stateHashEntries: 256,
  snapshotChunkBytes: 32 * 1024,
  watchProgressMs: 500,
};

/**
 * Twice the default: all replicas, all clients and all links share the processors of one machine, and messages that take longer than an
 * election timeout leave a cluster without a leader.
 */
const ELECTION_TIMEOUT = '1500ms';

/** How long it is waited for a replica that was started to answer, in milliseconds. */
const ANSWER_MS_MAX = 30_000;

const OLD_FORMATS = 'command=1';

/** A replica that has ended so often although nothing was to make it will do so again. */
const HOPELESS_ENDS = 3;

const RECOVERY_MS_MAX = 90_000;

/** Real replicas behind links that can fail, and what a nemesis may do to them. */
export class System implements AsyncDisposable {
  readonly cluster: LocalCluster;
  readonly machine: Machine;
  readonly hasClocks: boolean;
  readonly workers: JobWorkers;
  /** Clients are at places that can be cut off. */
  readonly #hasSites: boolean;
  readonly #clocks = new Map<string, ClockFile>();
  readonly #disks = new Map<string, DiskFile>();
  readonly #ends = new Ends();
  /** By name: it may have lost data, or begins without any; what is to be called when it has all of them. */
  readonly #losses = new Map<string, () => void>();
  #tellLoss: (name: string) => () => void = () => () => {};
  readonly #upgraded = new Set<string>();
  /** By site and replica: which side it is on while the network is parted. */
  #sides: ReadonlyMap<string, 'majority' | 'minority'> = new Map();

  private constructor(cluster: LocalCluster, options: SystemOptions, files: Files) {
    this.cluster = cluster;
    this.machine = options.machine;
    this.#hasSites = options.network === 'proxies';
    this.hasClocks = options.clocks;
    const { folder, entry } = options;
    this.workers = new JobWorkers({ folder, entry, endpoints: () => cluster.endpoints });
    this.#clocks = files.clocks;
    this.#disks = files.disks;
  }

  static async start(options: SystemOptions): Promise<System> {
    const { folder, machine, nodes, entry, env } = options;
    const config = join(folder, 'balsa.json');
    writeFileSync(config, JSON.stringify({ limits: LIMITS }));
    const files: Files = { clocks: new Map(), disks: new Map() };
    const cluster = await LocalCluster.start({
      replicas: nodes,
      network: options.network === 'proxies' ? 'switched' : 'namespaces',
      folder: join(folder, 'replicas'),
      cluster: 'jepsen-like',
      ...(entry === undefined ? {} : { entry }),
      extraArgs: [
        ...['--config', config, '--election-timeout', ELECTION_TIMEOUT],
        ...(options.leaseReads ? ['--lease-reads'] : []),
        ...(options.oldReplicas ? ['--unsafe-formats', OLD_FORMATS] : []),
      ],
      env: { BALSA_UNSAFE_TESTING: '1', ...env },
      environmentOf: (name) => {
        const disk = new DiskFile(join(folder, `${name}.disk.json`));
        const clock = new ClockFile(join(folder, `${name}.clock`));
        files.disks.set(name, disk);
        files.clocks.set(name, clock);
        const library = machine.fakeTimeLibrary;
        const lies = options.clocks && library !== null ? clock.environment(library, 1) : {};
        return { BALSA_UNSAFE_DISK: disk.path, ...lies };
      },
      onProcessEnd: removeClockLeftovers,
    });
    return new System(cluster, options, files);
  }

  get strangeEnds(): readonly StrangeEnd[] {
    return this.#ends.strange;
  }

  /** @param begin called when a replica may have lost data or begins without any, and what it returns when it has all of them */
  onLoss(begin: (name: string) => () => void): void {
    this.#tellLoss = begin;
  }

  /** Of the replicas that there are, members or to be ones. */
  get names(): readonly string[] {
    return this.cluster.replicas.map(({ name }) => name);
  }

  get running(): readonly string[] {
    return this.cluster.running.map(({ name }) => name);
  }

  /** Who leads now, as far as it can be seen; `null`: nobody. */
  async leader(): Promise<string | null> {
    const statuses = await this.cluster.statuses();
    const leaders = statuses.filter(({ role }) => role === 'leader');
    return leaders.sort((a, b) => b.term - a.term)[0]?.replica ?? null;
  }

  /** A client at a place of its own, whose links can fail. */
  connectFrom(site: string, options: { timeoutMs: number; replica?: string }): Promise<Client> {
    return this.cluster.connectFrom(site, { ...options, connectTimeoutMs: 20_000 });
  }

  // -------------------------------------------------------------------------------------------

  async kill(name: string): Promise<void> {
    if (this.#replica(name)?.running !== true) return;
    const replica = this.cluster.replica(name);
    const exit = await this.cluster.kill(name);
    this.#judgeAsked(name, endOf(exit, replica.tail()));
  }

  async stop(name: string): Promise<void> {
    if (this.#replica(name)?.running !== true) return;
    const replica = this.cluster.replica(name);
    const exit = await this.cluster.stop(name);
    this.#judgeAsked(name, endOf(exit, replica.tail()));
  }

  /** Of one that was to end anyway, or may have been. */
  #judgeAsked(name: string, end: End): void {
    if (!isOrderly(end)) this.#ends.judge(name, end);
  }

  /** Starts it on the data that it has, if it does not run; does not wait until it serves. */
  async start(name: string, extra: StartExtra = {}): Promise<void> {
    const replica = this.#replica(name);
    if (replica === undefined || replica.running) return;
    this.noteEnds();
    this.#ends.begins(name);
    const reseed = this.#ends.isDamaged(name) ? ['--reseed'] : [];
    // The last one of two equal flags counts.
    const upgrade = this.#upgraded.has(name) ? ['--unsafe-formats', ''] : [];
    const args = [...reseed, ...upgrade, ...(extra.args ?? [])];
    await this.cluster.start(name, { args, env: extra.env ?? {}, wait: false });
  }

  /**
   * Its data are damaged from now on, somewhere: it may find that out whenever it reads them, ends then, and gets them
   * anew when it is started. Call it before its data are changed.
   */
  damaged(name: string): void {
    const { dataFolder } = this.cluster.replica(name);
    this.#ends.damaged(name, incarnationIn(dataFolder));
    this.#loses(name);
  }

  #loses(name: string): void {
    if (!this.#losses.has(name)) this.#losses.set(name, this.#tellLoss(name));
  }

  #hasAll(name: string): void {
    this.#losses.get(name)?.();
    this.#losses.delete(name);
  }

  /** From its next start on it knows all formats. */
  upgrade(name: string): void {
    this.#upgraded.add(name);
  }

  /** It is to leave the cluster, and ends by itself then. */
  leaves(name: string): void {
    this.noteEnds();
    this.#ends.leaves(name);
    const replica = this.#replica(name);
    if (replica?.running !== true) return;
    // Whoever waits for its end would not be told how that was.
    void replica.exit().then((exit) => this.#judgeAsked(name, endOf(exit, replica.tail())));
  }

  /**
   * Starts a replica that there was not before, and lets it into the cluster.
   * @param replaces who leaves for it
   */
  async add(name: string, replaces?: string): Promise<void> {
    this.#ends.isNew(name);
    this.#loses(name);
    this.deleteData(name);
    if (replaces !== undefined) this.leaves(replaces);
    await this.cluster.addReplica(replaces === undefined ? { name } : { name, replaces });
    this.#hasAll(name);
  }

  /** Removes it from the cluster, and waits until it has ended. */
  async remove(name: string): Promise<void> {
    this.leaves(name);
    await this.cluster.removeReplica(name);
  }

  /** Forgets one that is no member, and what it has. */
  async discard(name: string): Promise<void> {
    this.noteEnds();
    await this.cluster.discard(name);
    this.deleteData(name);
  }

  /** It takes part, and has applied nearly all that the leader has. */
  async hasCaughtUp(name: string): Promise<boolean> {
    this.noteEnds();
    await this.start(name);
    const statuses = await this.cluster.statuses();
    const leader = statuses.find(({ role }) => role === 'leader');
    const own = statuses.find(({ replica }) => replica === name);
    if (leader === undefined || own === undefined) return false;
    // Of a name there may be two: one that has begun anew, and what it was before.
    const member = leader.membership.members.find(
      (known) => known.name === name && known.incarnation === own.incarnation,
    );
    const hasAll = member?.role === 'voter' && own.appliedIndex + 200 >= leader.commitIndex;
    if (!hasAll) return false;
    if (this.#ends.isWhole(name, own.incarnation)) this.#hasAll(name);
    return true;
  }

  pause(name: string): void {
    const replica = this.#replica(name);
    if (replica?.running === true && !replica.paused) this.cluster.pause(name);
  }

  resume(name: string): void {
    const replica = this.#replica(name);
    if (replica?.running === true && replica.paused) this.cluster.resume(name);
  }

  disk(name: string): DiskFile {
    return found(this.#disks.get(name), name);
  }

  /** The library that lies about the time is in its process. */
  liesOnTime(name: string): boolean {
    const { pid } = this.cluster.replica(name);
    return pid !== null && hasLoaded(pid, 'libfaketime');
  }

  clock(name: string): ClockFile {
    return found(this.#clocks.get(name), name);
  }

  /**
   * Resolves when a replica ends that a fault is to make end.
   * @returns how; `null`: it did not run
   */
  async ends(name: string, cause: Cause): Promise<End | null> {
    const replica = this.#replica(name);
    if (replica?.running !== true) return null;
    this.#ends.hit(name, cause);
    while (replica.running) await delay(20);
    this.noteEnds();
    return endOf(await replica.exit(), replica.tail());
  }

  /** Parts the network; each site is on a side. */
  part(groups: readonly (readonly string[])[], how: 'cut' | 'reset' | 'half-open' = 'cut'): void {
    const missing = this.names.filter((name) => !groups.flat().includes(name));
    const all = missing.length > 0 ? [...groups, ...missing.map((name) => [name])] : groups;
    const there = all.map((group) => group.filter((place) => this.#isPlace(place)));
    this.cluster.partition(there, { how });
    const half = this.names.length / 2;
    const sideOf = (group: readonly string[]): 'majority' | 'minority' =>
      group.filter((place) => this.names.includes(place)).length > half ? 'majority' : 'minority';
    if (!this.#hasSites) return;
    this.#sides = new Map(there.flatMap((group) => group.map((place) => [place, sideOf(group)])));
  }

  /** No client reaches it any more; it hears the other replicas. `healNetwork` mends it. */
  cutClients(name: string): void {
    if (!this.#hasSites) return;
    for (const site of SITES) this.cluster.cut(site, name);
  }

  healNetwork(): void {
    this.cluster.heal();
    this.#sides = new Map();
  }

  sideOf(place: string): 'majority' | 'minority' | null {
    return this.#sides.get(place) ?? null;
  }

  /** Deletes what a replica has, which must have left the cluster or be about to get it anew. */
  deleteData(name: string): void {
    rmSync(join(this.cluster.folder, name), { recursive: true, force: true });
  }

  /** Ends all faults, and starts whatever does not run. */
  async mend(): Promise<void> {
    this.healNetwork();
    for (const name of this.names) {
      this.disk(name).set({});
      this.clock(name).set(0);
      this.resume(name);
    }
    await this.#startAll();
  }

  /** Waits until each of these answers, if it runs; half a minute at most. */
  async answering(names: readonly string[], signal: AbortSignal): Promise<void> {
    const untilMs = performance.now() + ANSWER_MS_MAX;
    for (const name of names) {
      while (!signal.aborted && performance.now() < untilMs && this.#isUp(name)) {
        const answers = await this.cluster.status(name).then(
          () => true,
          () => false,
        );
        if (answers) break;
        await delay(50);
      }
    }
  }

  #isUp(name: string): boolean {
    const replica = this.#replica(name);
    return replica?.running === true && !replica.paused;
  }

  /** `undefined`: it has left the cluster meanwhile. */
  #replica(name: string): ReplicaProcess | undefined {
    return this.cluster.replicas.find((known) => known.name === name);
  }

  /**
   * Waits until every replica serves and one leads.
   * @returns what is wrong when that does not come about in time; `null`: nothing
   */
  async recovered(): Promise<string | null> {
    const untilMs = performance.now() + RECOVERY_MS_MAX;
    // The last that each has said: on a busy machine not all of them answer within the same second.
    const known = new Map<string, ReplicaStatus>();
    for (;;) {
      await this.#startAll();
      for (const status of await this.cluster.statuses()) known.set(status.replica, status);
      const term = Math.max(0, ...[...known.values()].map((status) => status.term));
      const statuses = [...known.values()].filter(
        (status) => status.term === term && this.names.includes(status.replica),
      );
      const leader = statuses.find(({ role }) => role === 'leader');
      const follow = statuses.filter(({ leader: known }) => known === leader?.replica);
      if (leader !== undefined && follow.length === this.names.length) {
        this.#ends.recovered();
        return null;
      }
      if (leader !== undefined) await this.#discardRemoved(leader, known);
      const hopeless = this.#endingAgainAndAgain();
      if (hopeless !== null) return `${hopeless} ends by itself whenever it is started`;
      if (performance.now() > untilMs) {
        const lines = statuses.map((s) => `${s.replica} ${s.role} term ${s.term} of ${s.leader}`);
        return `not recovered ${RECOVERY_MS_MAX / 1000} s after the last fault: ${lines.join('; ')}`;
      }
      await delay(100);
    }
  }

  /**
   * A replacement that was decided when whoever asked for it had given up waiting: who has left has begun anew since, and waits in
   * vain to be let in.
   */
  async #discardRemoved(
    { membership }: ReplicaStatus,
    known: Map<string, ReplicaStatus>,
  ): Promise<void> {
    for (const name of this.names) {
      const waits = known.get(name)?.clusterId === '';
      if (!waits || membership.members.some((member) => member.name === name)) continue;
      await this.discard(name);
      known.delete(name);
    }
  }

  #endingAgainAndAgain(): string | null {
    const ends = (name: string): number =>
      this.strangeEnds.filter((end) => end.name === name).length;
    return this.names.find((name) => ends(name) >= HOPELESS_ENDS) ?? null;
  }

  /** Judges how replicas ended that nobody has ended, and lets them start again. */
  noteEnds(): void {
    for (const replica of this.cluster.replicas) {
      const exit = replica.unexpectedExit;
      if (exit === null) continue;
      this.#ends.judge(replica.name, endOf(exit, exit.logTail));
      // From here on it is known.
      void this.cluster.exit(replica.name);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.names) this.resume(name);
    await this.workers.close();
    await this.cluster.close();
  }

  #isPlace(name: string): boolean {
    return this.names.includes(name) || SITES.some((site) => site === name);
  }

  async #startAll(): Promise<void> {
    this.noteEnds();
    for (const name of this.names) await this.start(name);
  }
}

export interface StartExtra {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

interface Files {
  readonly clocks: Map<string, ClockFile>;
  readonly disks: Map<string, DiskFile>;
}

function found<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new Error(`there is no replica ${name}`);
  return value;
}

/** Whose data they are; `null`: that cannot be read. */
function incarnationIn(dataFolder: string): string | null {
  try {
    const meta: { readonly incarnation?: string } = JSON.parse(
      readFileSync(join(dataFolder, 'meta.json'), 'utf8'),
    );
    return meta.incarnation ?? null;
  } catch {
    return null;
  }
}
