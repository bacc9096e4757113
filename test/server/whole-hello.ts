import { OWN_VERSIONS } from '../../src/rpc/version.js';

/** What a member of a cluster says first. */
export function wholeHello(name: string, incarnation: string, address: string, command = 1) {
  return {
    ...OWN_VERSIONS,
    clusterName: 'c',
    clusterId: 'id',
    name,
    incarnation,
    to: 'n1',
    formation: [],
    refusal: null,
    toIncarnation: null,
    formats: { command, snapshot: 1 },
    joining: null,
    address,
    memberAt: null,
  };
}
