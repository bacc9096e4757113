import type { Client } from '../src/client/client.js';
import type { LocalCluster } from '../src/cluster/local-cluster.js';

/** With millions of entries behind it a replica takes long to start. */
export const START_MS_MAX = 600_000;

export async function killAll(cluster: LocalCluster): Promise<void> {
  await Promise.all(cluster.running.map(({ name }) => cluster.kill(name)));
}

/** @returns a client, when one of them serves it */
export async function startAll(cluster: LocalCluster): Promise<Client> {
  const names = cluster.replicas.map(({ name }) => name);
  await Promise.all(names.map((name) => cluster.start(name, { wait: false })));
  return cluster.connect({ timeoutMs: START_MS_MAX, connectTimeoutMs: START_MS_MAX });
}
