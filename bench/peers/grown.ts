import { keyOf } from '../../src/cli/bench/keys.js';
import { killAll, START_MS_MAX, startAll } from '../all-replicas.js';
import { forEach } from '../closed-loop.js';
import { pidsOf, startReplicas } from './balsa-replicas.js';
import { type EtcdCluster, startEtcd } from './etcd.js';
import { missingPrograms } from './installed.js';
import { whileAlive } from './while-alive.js';

/** A store that is filled, looked at, and started again. */
export interface Grown extends AsyncDisposable {
  readonly serverPids: readonly number[];
  /** Of each member. */
  readonly dataFolders: readonly string[];
  /** Keys from `from` on have values. */
  fill(from: number, count: number, value: Buffer): Promise<void>;
  /** All members are killed (SIGKILL) and started. Resolves when one of them serves a linearizable get of this key. */
  restart(key: number): Promise<void>;
}

export interface GrownKind {
  readonly name: string;
  /** @returns what is not installed and how to get it, or `null` */
  missing(): string | null;
  start(members: number): Promise<Grown>;
}

const OUTSTANDING = 1024;
/** Without batches it would take minutes; etcd allows 128 by itself. */
const ETCD_KEYS_PER_TXN = 100;
const ETCD_OUTSTANDING = 32;

const grownBalsa: GrownKind = {
  name: 'balsa',
  missing: () => null,
  async start(members) {
    const { cluster, ended } = await startReplicas({ replicas: members, logLevel: 'warn' });
    let db = await cluster.connect({ timeoutMs: START_MS_MAX });
    return {
      get serverPids() {
        return pidsOf(cluster);
      },
      dataFolders: cluster.replicas.map(({ dataFolder }) => dataFolder),
      fill: async (from, count, value) => {
        await whileAlive(ended, () =>
          forEach(count, OUTSTANDING, (i) => db.put(keyOf(from + i), value)),
        );
      },
      restart: async (key) => {
        await db.close();
        await killAll(cluster);
        db = await startAll(cluster);
        await db.get(keyOf(key));
      },
      async [Symbol.asyncDispose]() {
        await db.close();
        await cluster.close();
      },
    };
  },
};

const grownEtcd: GrownKind = {
  name: 'etcd',
  missing: () => missingPrograms({ etcd: 'etcd-server' }),
  async start(members) {
    const cluster = await startEtcd(members);
    return {
      get serverPids() {
        cluster.servers.ended.throwIfAborted();
        return cluster.servers.pids;
      },
      dataFolders: cluster.dataFolders,
      fill: (from, count, value) =>
        whileAlive(cluster.servers.ended, () =>
          cluster.withSpace(() => fillEtcd(cluster, from, count, value)),
        ),
      restart: async (key) => {
        await cluster.restart();
        await cluster.client.get(keyOf(key)).buffer();
      },
      [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
    };
  },
};

async function fillEtcd(
  { client }: EtcdCluster,
  from: number,
  count: number,
  value: Buffer,
): Promise<void> {
  await forEach(Math.ceil(count / ETCD_KEYS_PER_TXN), ETCD_OUTSTANDING, async (batch) => {
    const first = batch * ETCD_KEYS_PER_TXN;
    const length = Math.min(ETCD_KEYS_PER_TXN, count - first);
    const puts = Array.from({ length }, (_, i) => client.put(keyOf(from + first + i)).value(value));
    // Always so: a transaction has to compare something.
    await client
      .if('nothing', 'Version', '==', 0)
      .then(...puts)
      .commit();
  });
}

export const GROWN: readonly GrownKind[] = [grownBalsa, grownEtcd];
