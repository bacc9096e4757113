import { createServer } from 'node:net';
import { BalsaError } from '../base/errors.js';

/**
 * Below the ports that systems hand out to outgoing connections (from 32768 on Linux, 49152
 * elsewhere). A port from that range may be taken by any connection while its replica is down; it
 * can even be taken by a peer's attempt to reach the replica, which then is connected to itself.
 */
const PORT_MIN = 10_240;
const PORT_MAX = 32_767;
const ATTEMPTS_MAX = 1000;

/**
 * `count` different ports of 127.0.0.1 on which nothing listens now. Another process may still win
 * the race for one of them before it is used.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  for (let attempt = 0; attempt < ATTEMPTS_MAX && ports.size < count; attempt += 1) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN + 1));
    if (!ports.has(port) && (await isFree(port))) ports.add(port);
  }
  if (ports.size === count) return [...ports];
  throw new BalsaError('ADDRESS_UNUSABLE', `no ${count} free ports on 127.0.0.1`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      server.close(() => resolve(true));
    });
  });
}
