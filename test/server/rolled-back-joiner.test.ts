import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { waitUntil } from '../../src/cluster/wait-until.js';
import type { Server } from '../../src/server/server.js';
import { Servers } from './servers.js';

/** Who is cut off leads on for so long: time for the joiner to start and ask, on a busy machine too. */
const SLOW = { electionTimeoutMs: 4000, heartbeatMs: 100 };

test('a joiner that was called in by a change that was rolled back is let in by the next leader', async () => {
  await using servers = await Servers.reserve(5);
  const names = Object.keys(servers.members);
  const all = await Promise.all(names.map((name) => servers.start(name, SLOW)));
  const leader = await servers.leader();
  const [victim, ...others] = all.filter((s) => s !== leader) as [Server, ...Server[]];
  // It loses its disk, and nobody takes its place before the leader has not heard from it for an election timeout.
  await victim.close();
  const silentMs = performance.now() + SLOW.electionTimeoutMs;
  await waitUntil(
    'it to be taken for gone',
    async () => performance.now() >= silentMs || undefined,
  );
  rmSync(join(servers.folder, victim.name), { recursive: true });
  // The leader is cut off from all others, and does not know it yet, when the joiner asks it.
  await Promise.all(others.map((s) => s.close()));
  expect(leader.status().role).toBe('leader');
  const joiner = await servers.start(victim.name, { ...SLOW, reseed: true });
  await waitUntil('the joiner is bound', async () => joiner.status().clusterId !== '' || undefined);
  const { incarnation } = joiner.status();
  await leader.close();

  const again = await Promise.all(others.map((s) => servers.start(s.name, SLOW)));
  const next = await waitUntil('the next leader', async () =>
    again.find((s) => s.status().role === 'leader' && s.status().appliedIndex > 0),
  );
  await servers.start(leader.name, SLOW);
  await waitUntil('the joiner to be let in', async () => {
    const { members } = next.status().membership;
    return members.some((member) => member.incarnation === incarnation) || undefined;
  });
});
