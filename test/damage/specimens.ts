import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '../../src/client/client.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import type { ServerConfig } from '../../src/server/config.js';
import type { Server } from '../../src/server/server.js';
import { Servers } from '../server/servers.js';

/** A log that is cut early, in small files, so that little data has all that a replica ever has. */
const LIMITS_CHANGE = {
  walSegmentBytes: 64 * 1024,
  logEntriesMax: 60,
  logTrailingEntries: 20,
  logBytesMax: 96 * 1024,
  logPinnedBytesMax: 64 * 1024,
  snapshotRetryMsMax: 0,
};

/** The data folders of a cluster of three whose members agree, and what is in them. */
export interface Specimens {
  readonly servers: Servers;
  /** A folder with `n1`, `n2` and `n3`, as they are after an orderly end. */
  readonly stopped: string;
  /** The same data, as kill -9 leaves it. */
  readonly killed: string;
  readonly values: ReadonlyMap<string, string>;
  readonly change: Partial<ServerConfig>;
}

/** `n3` was away for a while and got a snapshot; all logs begin behind some entry. */
export async function makeSpecimens(): Promise<Specimens> {
  const servers = await Servers.reserve(3);
  const change = { limits: { ...servers.config('n1').limits, ...LIMITS_CHANGE } };
  const values = new Map<string, string>();
  const members: Server[] = [];
  for (const name of ['n1', 'n2', 'n3']) members.push(await servers.start(name, change));
  await servers.leader();
  await write(members, values, 100);
  await agree(members);
  await members[2]?.close();
  await write(members.slice(0, 2), values, 300);
  members[2] = await servers.start('n3', change);
  await agree(members);
  await write(members, values, 60);
  await agree(members);
  const killed = join(servers.folder, 'killed');
  const stopped = join(servers.folder, 'stopped');
  // Behind the seals of the logs and the flush of the states.
  await new Promise((resolve) => setTimeout(resolve, 150));
  copyAll(servers.folder, killed);
  await Promise.all(members.map((member) => member.close()));
  copyAll(servers.folder, stopped);
  return { servers, stopped, killed, values, change };
}

export function copyAll(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const name of ['n1', 'n2', 'n3']) {
    cpSync(join(from, name), join(to, name), { recursive: true });
  }
}

/** In small entries: one write after the other. */
async function write(
  members: readonly Server[],
  values: Map<string, string>,
  count: number,
): Promise<void> {
  await using db = await connect({ endpoints: members.map(({ address }) => address) });
  for (let i = 0; i < count; i += 1) {
    const number = values.size;
    const key = `key ${number}`;
    const value = `${number} `.repeat(1 + (number % 60));
    await db.put(key, value);
    values.set(key, value);
  }
}

export async function agree(members: readonly Server[]): Promise<void> {
  await waitUntil('all agree', async () => {
    const all = members.map((member) => member.status());
    const [first] = all;
    const isSame = all.every(
      (one) => one.appliedIndex === first?.appliedIndex && one.stateHash === first.stateHash,
    );
    return isSame && all.some(({ role }) => role === 'leader') ? true : undefined;
  });
}
