import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { asBalsaError } from '../../src/base/errors.js';
import { DataFolder, type FolderMeta } from '../../src/server/data-folder.js';
import { planRecovery, type RecoverOptions, recover } from '../../src/server/recover.js';
import { NodeFiles } from '../../src/storage/node-files.js';
import { ask, countKeys, leads, putAll } from './offline-cluster.js';
import { Servers } from './servers.js';

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => asBalsaError(error).code,
  );

function optionsOf(servers: Servers, name: string): RecoverOptions {
  return { path: join(servers.folder, name), members: {}, ask };
}

function metaOf(servers: Servers, name: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(servers.folder, name, 'meta.json'), 'utf8'));
}

function changeMeta(servers: Servers, name: string, change: Partial<FolderMeta>): void {
  const folder = new DataFolder(join(servers.folder, name), new NodeFiles());
  const meta = folder.readMeta();
  if (meta === null) throw new Error('it has no meta.json');
  folder.writeMeta({ ...meta, ...change });
}

describe('recover', () => {
  test('refuses while the replica runs, and while a majority could be had', async () => {
    await using servers = await Servers.reserve(3);
    const [n1, n2, n3] = await servers.startAll();
    const options = optionsOf(servers, 'n1');
    expect(await codeOf(planRecovery(options))).toBe('DATA_FOLDER_IN_USE');
    await n1?.close();
    // The two others have a leader.
    expect(await codeOf(planRecovery(options))).toBe('QUORUM_ALIVE');
    await n3?.close();
    // One other and this one are a majority, if this one is started.
    await expect(planRecovery(options)).rejects.toThrow(/alive: start n1 with balsa start|leads/);
    await n2?.close();
    expect(await codeOf(planRecovery(options))).toBe('done');
  });

  test('says what is known and changes nothing until it is told to', async () => {
    await using servers = await Servers.reserve(3);
    const running = await servers.startAll();
    const leader = await servers.leader();
    await putAll(leader, 0, 100);
    for (const server of running) await server.close();
    const before = metaOf(servers, 'n2');
    const plan = await planRecovery(optionsOf(servers, 'n2'));
    expect(plan).toMatchObject({
      name: 'n2',
      cluster: 'test',
      clusterId: before.clusterId,
      configuration: { index: 0 },
      others: [
        { name: 'n1', votes: true, status: null },
        { name: 'n3', votes: true, status: null },
      ],
    });
    expect(plan.last.index).toBeGreaterThanOrEqual(plan.commitIndex);
    expect(plan.configuration.voters).toHaveLength(3);
    expect(metaOf(servers, 'n2')).toEqual(before);
  });

  test('makes the survivor a cluster of its own, which the old members cannot enter', async () => {
    await using servers = await Servers.reserve(3);
    const running = await servers.startAll();
    await putAll(await servers.leader(), 0, 200);
    for (const server of running) await server.close();
    const options = optionsOf(servers, 'n1');
    const idBefore = metaOf(servers, 'n1').clusterId;

    const done = await recover({ ...options, atMs: 1234 });

    expect(metaOf(servers, 'n1')).toMatchObject({
      clusterId: done.clusterIdAfter,
      recovered: [{ atMs: 1234, clusterIdBefore: idBefore, lastIndex: done.last.index }],
    });
    expect(done.clusterIdAfter).not.toBe(idBefore);
    const survivor = await servers.start('n1');
    await leads(survivor);
    expect(await countKeys(survivor)).toBe(200);
    // An old member that comes back finds no way in, and no majority either.
    const old = await servers.start('n2');
    await putAll(survivor, 200, 300);
    expect(old.status().clusterId).toBe(idBefore);
    expect(old.status().appliedIndex).toBeLessThan(survivor.status().appliedIndex);
    expect(survivor.status().membership.members).toMatchObject([{ name: 'n1', role: 'voter' }]);
    expect(survivor.status().clusterId).toBe(done.clusterIdAfter);
    // And again after a restart.
    await survivor.close();
    const again = await servers.start('n1');
    await leads(again);
    expect(await countKeys(again)).toBe(300);
  });

  test('when it was interrupted after the first step it can be run again', async () => {
    await using servers = await Servers.reserve(3);
    const running = await servers.startAll();
    for (const server of running) await server.close();
    const options = optionsOf(servers, 'n1');
    const meta = metaOf(servers, 'n1');
    const record = { atMs: 1, clusterIdBefore: String(meta.clusterId), lastIndex: 1, lastTerm: 1 };
    changeMeta(servers, 'n1', {
      clusterId: 'interrupted',
      recovered: [{ ...record, votersBefore: [] }],
    });
    // The others, who have the old id, still count as alive.
    const n2 = await servers.start('n2');
    await servers.start('n3');
    await servers.leader();
    expect(await codeOf(planRecovery(options))).toBe('QUORUM_ALIVE');
    await n2.close();
    expect(await codeOf(planRecovery({ ...options, ask: async () => null }))).toBe('done');
    await recover({ ...options, ask: async () => null, atMs: 2 });
    const survivor = await servers.start('n1');
    await leads(survivor);
  });

  test('a member whose place nobody knows must be named', async () => {
    await using servers = await Servers.reserve(3);
    const running = await servers.startAll();
    for (const server of running) await server.close();
    changeMeta(servers, 'n1', { addresses: {} });
    const options = optionsOf(servers, 'n1');
    await expect(planRecovery(options)).rejects.toThrow(/--members n2=HOST:PORT,n3=HOST:PORT/);
    expect(await codeOf(planRecovery({ ...options, members: servers.members }))).toBe('done');
  });

  test('another replica at the address of a member is not that member', async () => {
    await using servers = await Servers.reserve(3);
    const running = await servers.startAll();
    const status = running[1]?.status();
    for (const server of running) await server.close();
    if (status === undefined) throw new Error('a status');
    const options = optionsOf(servers, 'n1');
    const alone = { ...status, leader: null };
    const asked = (found: typeof status) => ({ ...options, ask: async () => found });
    expect(await codeOf(planRecovery(asked(alone)))).toBe('QUORUM_ALIVE');
    // Where there is a leader there is a majority, wherever it may be.
    const led = asked({ ...alone, leader: 'n7' });
    await expect(planRecovery(led)).rejects.toThrow(/n2 at \S+ follows n7, who leads/);
    // A disk that the folder knows nothing of: the members were changed behind what it holds.
    const renewed = asked({ ...alone, incarnation: 'x' });
    await expect(planRecovery(renewed)).rejects.toThrow(/with another disk than this folder knows/);
    expect(await codeOf(planRecovery(asked({ ...alone, clusterId: 'x' })))).toBe('done');
  });

  test('a folder that is none, or of no cluster, is refused', async () => {
    await using servers = await Servers.reserve(2);
    expect(await codeOf(planRecovery(optionsOf(servers, 'n1')))).toBe('DATA_FOLDER_UNUSABLE');
    const forming = await servers.start('n1');
    await forming.close();
    expect(await codeOf(planRecovery(optionsOf(servers, 'n1')))).toBe('INVALID_ARGUMENT');
  });
});
