import { createConnection } from 'node:net';
import { type Client, connect } from '../../src/client/client.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { BackupWriter } from '../../src/server/backup-file.js';
import type { RecoverOptions } from '../../src/server/recover.js';
import type { Server } from '../../src/server/server.js';

/** What tests of the offline tools need of servers that run before and after. */

export function clientOf(server: Server): Promise<Client> {
  return connect({ endpoints: [server.address], timeoutMs: 10_000 });
}

export async function putAll(server: Server, from: number, to: number): Promise<void> {
  await using db = await clientOf(server);
  const keys = Array.from({ length: to - from }, (_, i) => `key-${from + i}`);
  await Promise.all(keys.map((key) => db.put(key, `value of ${key}`)));
}

export async function countKeys(server: Server): Promise<number> {
  await using db = await clientOf(server);
  let count = 0;
  for await (const { key, value } of db.range({ prefix: 'key-' })) {
    if (value.toString() === `value of ${key}`) count += 1;
  }
  return count;
}

/** A backup of all that is applied now; the state on disk may be a few milliseconds behind it. */
export async function saveBackup(server: Server, file: string): Promise<void> {
  const { appliedIndex } = server.status();
  await waitUntil('a backup that reaches far enough', async () => {
    await using db = await connect({ endpoints: [server.address], followLeader: false });
    const writer = await BackupWriter.create(file, true);
    for await (const part of db.snapshot()) await writer.write(part);
    await writer.finish(true);
    return (writer.header?.position.index ?? 0) >= appliedIndex ? true : undefined;
  });
}

/** Is anybody there? One who is must not be taken for dead, however busy this machine is. */
function listens(address: string): Promise<boolean> {
  const [host = '', port] = address.split(':');
  const socket = createConnection({ host, port: Number(port) });
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  }).finally(() => socket.destroy()) as Promise<boolean>;
}

/** As the command asks. */
export const ask: RecoverOptions['ask'] = async (address) => {
  if (!(await listens(address))) return null;
  try {
    await using db = await connect({
      endpoints: [address],
      followLeader: false,
      ...{ connectTimeoutMs: 60_000, timeoutMs: 60_000 },
    });
    return await db.status();
  } catch {
    return null;
  }
};

/** Waits until it leads alone. */
export async function leads(server: Server): Promise<void> {
  await waitUntil('it leads', async () =>
    server.status().role === 'leader' && server.status().commitIndex > 0 ? true : undefined,
  );
}
