import type { MemberAddress } from '../rpc/protocol.js';
import type { LocalClusterOptions } from './cluster-options.js';
import { Links } from './links.js';
import { Namespaces } from './namespaces.js';
import type { Network, Whereabouts } from './network.js';

/** Replicas that a switched network has links for: as many as a cluster can have. */
export const SWITCHED_NAMES = Array.from({ length: 9 }, (_, i) => `n${i + 1}`);

/** `null`: replicas and clients reach each other as any others on this machine. */
export function openNetwork(kind: LocalClusterOptions['network']): Network | null {
  if (kind === 'namespaces') return Namespaces.open();
  return kind === 'switched' ? new Links(SWITCHED_NAMES) : null;
}

export interface PlaceOfReplica extends MemberAddress, Pick<Whereabouts, 'launcher'> {}

const NOWHERE_SPECIAL: Whereabouts = { host: '127.0.0.1', launcher: [] };

/** Makes room for a replica, which is to listen on this port. */
export async function placeFor(
  network: Network | null,
  name: string,
  port: number,
): Promise<PlaceOfReplica> {
  const { host, launcher } = (await network?.whereabouts(name)) ?? NOWHERE_SPECIAL;
  return { name, address: `${host}:${port}`, launcher };
}
