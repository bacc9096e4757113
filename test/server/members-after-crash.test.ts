import { join } from 'node:path';
import { expect, test } from 'vitest';
import { formedWith } from '../../src/raft/configuration.js';
import { packConfiguration } from '../../src/raft/configuration-codec.js';
import { memberId } from '../../src/server/member-id.js';
import { appendOffline, lastPosition, openOffline } from '../../src/server/offline.js';
import { leads, putAll } from './offline-cluster.js';
import { Servers } from './servers.js';

/** What a power failure leaves: a change of the members that is in the log and known to be committed, and not in the state. */
async function changeInLogOnly(path: string): Promise<void> {
  const { meta, stores } = await openOffline(path);
  const { hardState } = stores.restoredLog;
  const index = lastPosition(stores).index + 1;
  const payload = packConfiguration(formedWith([memberId(meta)], { learners: ['n2.b'] }));
  await appendOffline(stores.logStore, {
    sequence: 1,
    hardState: { ...hardState, commitIndex: index },
    entries: [{ index, term: hardState.currentTerm, type: 'configuration', payload }],
  });
  await stores.close();
}

test('members whose change was known to be committed when the power failed are committed ones', async () => {
  await using servers = await Servers.reserve(1);
  const before = await servers.start('n1');
  await leads(before);
  await putAll(before, 0, 10);
  await before.close();
  await changeInLogOnly(join(servers.folder, 'n1'));

  const after = await servers.start('n1');
  await leads(after);
  await putAll(after, 10, 20);
  const { membership } = after.status();
  expect(membership.members.map((member) => member.name)).toEqual(['n1', 'n2']);
  expect(membership.committed).toBe(true);
});
