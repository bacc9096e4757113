import { BalsaError } from '../base/errors.js';
import type { ReplicaStatus } from '../rpc/protocol.js';

type Standing = Pick<ReplicaStatus, 'replica' | 'cluster' | 'clusterId'>;

/**
 * Can this replica be let into the cluster? One that belongs to another would be a learner that never
 * comes: it hears nobody but its own members, and cannot be told otherwise.
 * @throws BalsaError `CLUSTER_MISMATCH`
 */
export function checkNewcomer(newcomer: Standing, address: string, own: Standing): void {
  const place = `${newcomer.replica} at ${address}`;
  if (newcomer.cluster !== own.cluster) {
    throw mismatch(
      `${place} is for a cluster called "${newcomer.cluster}", this one is "${own.cluster}": start it` +
        ` with --cluster ${own.cluster}, on an empty folder`,
    );
  }
  // Empty: it waits to be let in.
  if (newcomer.clusterId === '' || newcomer.clusterId === own.clusterId) return;
  throw mismatch(
    `${place} belongs to another cluster (${newcomer.clusterId}, this one is ${own.clusterId}): start it` +
      ' with --join, on an empty folder',
  );
}

function mismatch(message: string): BalsaError {
  return new BalsaError('CLUSTER_MISMATCH', message, { outcome: 'not-applied' });
}
