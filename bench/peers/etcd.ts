import { join } from 'node:path';
import { Etcd3 } from 'etcd3';
import { BalsaError } from '../../src/base/errors.js';
import type { OtherCalls } from '../../src/cli/bench/drive.js';
import { type Operation, RANGE_KEYS } from '../../src/cli/bench/scenario.js';
import { freePorts } from '../../src/cluster/free-ports.js';
import { inProcess } from './balsa.js';
import { etcdState } from './etcd-state.js';
import { fanOut } from './fan-out.js';
import { h2loadSubject } from './h2load.js';
import { findProgram, missingPrograms } from './installed.js';
import { ServerGroup } from './server-process.js';
import type { PeerKind, Subject } from './subject.js';
import { endingWith } from './while-alive.js';

const MEMBERS = 3;
/** The most that etcd is made for. */
const QUOTA_BYTES = 8 * 1024 ** 3;
const ASK_MS_MAX = 1000;
const DURABILITY =
  'fsync of its log before every acknowledgement, on a majority of 3 (the default)';

/**
 * Three members of etcd on this machine, with the settings that they have by themselves, asked by what a user
 * on Node would write (`etcd3`), and by the leanest client there is (`h2load`, where it is installed).
 */
export const etcd: PeerKind = {
  name: 'etcd',
  missing: () => missingPrograms({ etcd: 'etcd-server' }),
  async start() {
    const cluster = await startEtcd(MEMBERS);
    const { servers } = cluster;
    const about = {
      ...{ durability: DURABILITY, serverPids: servers.pids },
      figures: async () => ({ syncs: await cluster.syncs(), loopDelayMs: null }),
    };
    const own = inProcess('etcd, etcd3', {
      put: (key, value) => cluster.client.put(key).value(value).exec(),
      get: (key) => cluster.client.get(key).buffer(),
      others: etcdCalls(cluster),
    });
    const subjects: Unwatched[] = [{ ...own, ...about }];
    if (findProgram('h2load') !== null) {
      subjects.push(h2loadSubject({ ...about, host: () => cluster.leader }));
    }
    return {
      subjects: subjects.map((one) => endingWith(servers.ended, atLeader(cluster, one))),
      [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
    };
  },
};

type Unwatched = Omit<Subject, 'ended'>;

/** The same subject, which asks the leader in each round, and fails when the members take no more. */
function atLeader(cluster: EtcdCluster, subject: Unwatched): Unwatched {
  return {
    ...subject,
    async fill(keys, valueBytes) {
      await cluster.followLeader();
      await cluster.withSpace(() => subject.fill(keys, valueBytes));
    },
    async measure(scenario, length, onBegin) {
      await cluster.followLeader();
      const { leader } = cluster;
      const before = await etcdState(leader);
      const calls = await cluster.withSpace(() => subject.measure(scenario, length, onBegin));
      const changes = (await etcdState(leader)).leaderChanges - before.leaderChanges;
      // Calls took a way round from then on, or waited: it must be seen.
      if (changes === 0) return calls;
      return { ...calls, errors: { ...calls.errors, 'changes of the leader': changes } };
    },
  };
}

/** The same that is asked of the others, in the words of its client. */
function etcdCalls(cluster: EtcdCluster): Partial<Record<Operation, OtherCalls>> {
  const end = '\0';
  return {
    range: {
      call: (key) =>
        cluster.client.getAll().inRange({ start: key, end }).limit(RANGE_KEYS).buffers(),
    },
    txn: {
      call: (key, value) => {
        const { client } = cluster;
        return client.if(key, 'Version', '>', 0).then(client.put(key).value(value)).commit();
      },
    },
    'fan-out': fanOut({
      put: async (key, value) =>
        Number((await cluster.client.put(key).value(value).exec()).header.revision),
      watch: async (onEvent) => {
        const watcher = await cluster.client.watch().prefix('key-').create();
        watcher.on('put', ({ mod_revision }) => onEvent(Number(mod_revision)));
        return () => watcher.cancel();
      },
    }),
  };
}

/** Members that run, and a client of their leader. */
export class EtcdCluster implements AsyncDisposable {
  readonly servers: ServerGroup;
  readonly dataFolders: readonly string[];
  readonly #hosts: readonly string[];
  #leader: string;
  #client: Etcd3;

  constructor(servers: ServerGroup, hosts: readonly string[], leader: string) {
    this.servers = servers;
    this.dataFolders = hosts.map((_, i) => dataFolder(servers, i));
    this.#hosts = hosts;
    this.#leader = leader;
    this.#client = new Etcd3({ hosts: leader });
  }

  get leader(): string {
    return this.#leader;
  }

  /** Which of the members, in the order of `dataFolders` and of the pids of `servers`, led when it was looked last. */
  get leaderIndex(): number {
    return this.#hosts.indexOf(this.#leader);
  }

  /** All calls go to the leader, so that none takes a way round. */
  get client(): Etcd3 {
    return this.#client;
  }

  /** Of all members so far. */
  async syncs(): Promise<number> {
    const states = await Promise.all(this.#hosts.map(etcdState));
    return states.reduce((sum, { syncs }) => sum + syncs, 0);
  }

  /** Kills all members (SIGKILL) and starts them on what they have. */
  async restart(): Promise<void> {
    this.#client.close();
    await this.servers.restart();
    this.#askAt(await leaderOf(this.servers, this.#hosts));
  }

  /** Calls go to the member that leads now: another one would hand them on, which takes longer. */
  async followLeader(): Promise<void> {
    const leader = await leaderOf(this.servers, this.#hosts);
    if (leader === this.#leader) return;
    this.#client.close();
    this.#askAt(leader);
  }

  /**
   * Does `work`, which writes.
   * @throws BalsaError `NO_SPACE` when the members take no more writes behind that
   */
  async withSpace<T>(work: () => Promise<T>): Promise<T> {
    const result = await work().catch(async (error: unknown) => {
      // It may have failed for that.
      await this.#checkSpace();
      throw error;
    });
    await this.#checkSpace();
    return result;
  }

  async #checkSpace(): Promise<void> {
    // Another client: that of the calls may refuse to ask, for so many of them have failed. Without an action: all that there are.
    const { alarms } = await ask(this.#leader, (client) => client.maintenance.alarm({}));
    if (alarms.length === 0) return;
    const kinds = [...new Set(alarms.map(({ alarm }) => alarm))].join(', ');
    throw new BalsaError(
      'NO_SPACE',
      `etcd takes no more writes (alarm ${kinds}): its quota is ${QUOTA_BYTES} bytes, and all that was ever written stays, for it is not compacted; measure fewer or shorter rounds, or smaller values`,
    );
  }

  #askAt(leader: string): void {
    this.#leader = leader;
    this.#client = new Etcd3({ hosts: leader });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    await this.servers[Symbol.asyncDispose]();
  }
}

export async function startEtcd(members: number): Promise<EtcdCluster> {
  const ports = await freePorts(2 * members);
  const servers = new ServerGroup('etcd');
  startMembers(servers, ports);
  const hosts = ports.slice(0, members).map((port) => `http://127.0.0.1:${port}`);
  return new EtcdCluster(servers, hosts, await leaderOf(servers, hosts));
}

function leaderOf(servers: ServerGroup, hosts: readonly string[]): Promise<string> {
  return servers.until('a leader of etcd', () => findLeader(hosts));
}

function dataFolder({ folder }: ServerGroup, i: number): string {
  return join(folder, `m${i}`);
}

function startMembers(servers: ServerGroup, ports: readonly number[]): void {
  const url = (i: number): string => `http://127.0.0.1:${ports[i]}`;
  const members = ports.length / 2;
  const ids = Array.from({ length: members }, (_, i) => i);
  const cluster = ids.map((i) => `m${i}=${url(members + i)}`).join(',');
  for (const i of ids) {
    servers.start('etcd', [
      ...['--name', `m${i}`, '--data-dir', dataFolder(servers, i)],
      ...['--listen-client-urls', url(i), '--advertise-client-urls', url(i)],
      ...[
        '--listen-peer-urls',
        url(members + i),
        '--initial-advertise-peer-urls',
        url(members + i),
      ],
      ...['--initial-cluster', cluster, '--initial-cluster-state', 'new'],
      // Else it stops taking writes at 2 GiB; nothing to do with their durability.
      ...['--quota-backend-bytes', String(QUOTA_BYTES), '--log-level', 'error'],
    ]);
  }
}

/** @returns the leader's address, or `undefined` while there is none */
async function findLeader(hosts: readonly string[]): Promise<string | undefined> {
  for (const host of hosts) {
    try {
      const { leader, header } = await ask(host, (client) => client.maintenance.status());
      if (leader !== '0' && leader === header.member_id) return host;
    } catch {
      // Not there yet: asked again by who waits.
    }
  }
  return undefined;
}

/** One call of one member, with a client that is there for it alone. */
async function ask<T>(host: string, call: (client: Etcd3) => Promise<T>): Promise<T> {
  const client = new Etcd3({
    hosts: host,
    defaultCallOptions: () => ({ deadline: Date.now() + ASK_MS_MAX }),
  });
  try {
    return await call(client);
  } finally {
    client.close();
  }
}
