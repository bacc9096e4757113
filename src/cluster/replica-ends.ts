import type { ReplicaProcess } from './replica-process.js';

const STOP_TIMEOUT_MS = 10_000;

/** Between looking for a free port and using it, another process was quicker. */
export function portWasTaken(replica: ReplicaProcess): boolean {
  return replica.unexpectedExit?.logTail.includes('PORT_IN_USE') ?? false;
}

/** In order, or by force when that takes too long. */
export async function stopOrKill(replica: ReplicaProcess): Promise<void> {
  const late = setTimeout(() => {
    if (replica.running) void replica.end('SIGKILL');
  }, STOP_TIMEOUT_MS);
  await replica.end('SIGTERM');
  clearTimeout(late);
}
