import { balsa } from './balsa.js';
import { etcd } from './etcd.js';
import { redis } from './redis.js';
import type { PeerKind } from './subject.js';

/** All that can be measured; the first is compared with the others. */
export const PEERS: readonly PeerKind[] = [balsa, etcd, redis];
