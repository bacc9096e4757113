import { asBalsaError, BalsaError } from '../../src/base/errors.js';
import { LocalCluster, type LocalClusterOptions } from '../../src/cluster/local-cluster.js';

export interface Replicas {
  readonly cluster: LocalCluster;
  /** Aborts when one of them ends by itself, with the error that says which and why. */
  readonly ended: AbortSignal;
}

/** Replicas of this project: the death of one is news, though the others go on without it. */
export async function startReplicas(options: LocalClusterOptions): Promise<Replicas> {
  const controller = new AbortController();
  let cluster: LocalCluster | null = null;
  const look = (): void => {
    try {
      for (const replica of cluster?.replicas ?? []) replica.checkAlive();
    } catch (error) {
      const { code, message } = asBalsaError(error);
      controller.abort(new BalsaError(code, `balsa: measure again, for ${message}`));
    }
  };
  // A replica knows how it ended a moment after this call.
  const onProcessEnd = (): void => queueMicrotask(look);
  cluster = await LocalCluster.start({ ...options, onProcessEnd });
  // The start of a cluster is over when a majority is there.
  look();
  return { cluster, ended: controller.signal };
}

/** @throws BalsaError `INTERNAL` when one does not run: it must not be left out of what they take */
export function pidsOf({ replicas }: LocalCluster): number[] {
  return replicas.map((replica) => {
    replica.checkAlive();
    if (replica.pid !== null) return replica.pid;
    throw new BalsaError('INTERNAL', `balsa: replica ${replica.name} does not run: start it first`);
  });
}
