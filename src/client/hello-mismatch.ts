import { asBalsaError, BalsaError } from '../base/errors.js';
import type { ReplicaHello } from '../rpc/protocol.js';
import { agreeOnVersion } from '../rpc/version.js';

/**
 * Why a replica that says this cannot be used; `null`: it can be.
 * @param clusterId the cluster that is meant; `null`: whichever it is of
 */
export function mismatchOf(hello: ReplicaHello, clusterId: string | null): BalsaError | null {
  try {
    agreeOnVersion(hello, 'the replica');
  } catch (error) {
    return asBalsaError(error);
  }
  if (clusterId === null || hello.clusterId === clusterId) return null;
  return hello.clusterId === ''
    ? new BalsaError('UNREACHABLE', 'the replica waits to be let into a cluster')
    : new BalsaError(
        'CLUSTER_MISMATCH',
        `the replica belongs to cluster ${hello.clusterId}, not to ${clusterId}`,
      );
}
