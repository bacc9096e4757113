import { join } from 'node:path';
import { Etcd3 } from 'etcd3';
import type { OtherCalls } from '../../src/cli/bench/drive.js';
import { type Operation, RANGE_KEYS } from '../../src/cli/bench/scenario.js';
import { freePorts } from '../../src/cluster/free-ports.js';
import { inProcess } from './balsa.js';
import { fanOut } from './fan-out.js';
import { h2loadSubject } from './h2load.js';
import { findProgram, missingPrograms } from './installed.js';
import { ServerGroup } from './server-process.js';
import type { PeerKind, Subject } from './subject.js';

const MEMBERS = 3;
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
    const { client, servers, leader } = cluster;
    const serverPids = servers.pids;
    const subjects: Subject[] = [
      {
        ...inProcess('etcd, etcd3', {
          put: (key, value) => client.put(key).value(value).exec(),
          get: (key) => client.get(key).buffer(),
          others: etcdCalls(client),
        }),
        durability: DURABILITY,
        serverPids,
      },
    ];
    if (findProgram('h2load') !== null) {
      const revision = async (): Promise<number> =>
        Number((await client.maintenance.status()).header.revision);
      subjects.push(h2loadSubject({ host: leader, durability: DURABILITY, serverPids, revision }));
    }
    return { subjects, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
  },
};

/** The same that is asked of the others, in the words of its client. */
function etcdCalls(client: Etcd3): Partial<Record<Operation, OtherCalls>> {
  const end = '\0';
  return {
    range: {
      call: (key) => client.getAll().inRange({ start: key, end }).limit(RANGE_KEYS).buffers(),
    },
    txn: {
      call: (key, value) =>
        client.if(key, 'Version', '>', 0).then(client.put(key).value(value)).commit(),
    },
    'fan-out': fanOut({
      put: async (key, value) =>
        Number((await client.put(key).value(value).exec()).header.revision),
      watch: async (onEvent) => {
        const watcher = await client.watch().prefix('key-').create();
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

  /** All calls go to the leader, so that none takes a way round. */
  get client(): Etcd3 {
    return this.#client;
  }

  /** Kills all members (SIGKILL) and starts them on what they have. */
  async restart(): Promise<void> {
    this.#client.close();
    await this.servers.restart();
    this.#leader = await leaderOf(this.servers, this.#hosts);
    this.#client = new Etcd3({ hosts: this.#leader });
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
      ...['--quota-backend-bytes', String(8 * 1024 ** 3), '--log-level', 'error'],
    ]);
  }
}

/** @returns the leader's address, or `undefined` while there is none */
async function findLeader(hosts: readonly string[]): Promise<string | undefined> {
  for (const host of hosts) {
    const client = new Etcd3({
      hosts: host,
      defaultCallOptions: () => ({ deadline: Date.now() + 1000 }),
    });
    try {
      const { leader, header } = await client.maintenance.status();
      if (leader !== '0' && leader === header.member_id) return host;
    } catch {
      // Not there yet: asked again by who waits.
    } finally {
      client.close();
    }
  }
  return undefined;
}
