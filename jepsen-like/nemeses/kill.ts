import { during, minoritySize, type Nemesis, type Stage } from './nemesis.js';

/** Kills them at once, and starts them again after a while. */
async function killFor(stage: Stage, name: string, nodes: readonly string[]): Promise<void> {
  if (nodes.length === 0) return;
  const { system } = stage;
  await during(stage, { name, nodes }, async () => {
    await Promise.all(nodes.map((node) => system.kill(node)));
    await stage.sleep(stage.holdMs);
    await Promise.all(nodes.map((node) => system.start(node)));
  });
}

export const killLeader: Nemesis = {
  name: 'kill-leader',
  about: 'kill -9 of whoever leads',
  episode: async (stage) => {
    const leader = await stage.system.leader();
    if (leader === null) return;
    await killFor(stage, 'kill-leader', stage.take(1, [leader]));
  },
};

export const killFollower: Nemesis = {
  name: 'kill-follower',
  about: 'kill -9 of one that does not lead',
  episode: async (stage) => {
    const leader = await stage.system.leader();
    const others = stage.system.running.filter((name) => name !== leader);
    const preferred = others.slice(stage.random.int(Math.max(1, others.length)));
    await killFor(stage, 'kill-follower', stage.take(1, preferred));
  },
};

export const killMinority: Nemesis = {
  name: 'kill-minority',
  about: 'kill -9 of as many as the cluster can do without',
  claims: ['all'],
  episode: async (stage) => {
    await killFor(stage, 'kill-minority', stage.take(minoritySize(stage.system)));
  },
};

export const killMajority: Nemesis = {
  name: 'kill-majority',
  about: 'kill -9 of more than the cluster can do without',
  claims: ['all'],
  episode: async (stage) => {
    await killFor(stage, 'kill-majority', stage.take(minoritySize(stage.system) + 1));
  },
};

export const killAll: Nemesis = {
  name: 'kill-all',
  about: 'kill -9 of all replicas at one moment; what they had not synced is lost',
  claims: ['all'],
  episode: async (stage) => {
    const nodes = stage.take(stage.system.names.length);
    if (nodes.length < stage.system.names.length) return;
    await during(stage, { name: 'kill-all', nodes }, async () => {
      await Promise.all(nodes.map((node) => stage.system.kill(node)));
      await Promise.all(nodes.map((node) => stage.system.start(node)));
      await untilServed(stage, 'kill-all');
    });
  },
};

export const lostTail: Nemesis = {
  name: 'lost-tail',
  about:
    'all disks are slow for a moment, then all replicas are killed: what was written and not synced is lost',
  claims: ['all', 'disk'],
  episode: async (stage) => {
    const { system, random } = stage;
    const nodes = stage.take(system.names.length);
    if (nodes.length < system.names.length) return;
    // Each its own, so that some have on their disks what others have not.
    const delaysMs = nodes.map(() => random.int(600));
    await during(stage, { name: 'lost-tail', nodes, detail: { delaysMs } }, async () => {
      for (const [i, node] of nodes.entries()) {
        system.disk(node).set({ syncDelayMs: delaysMs[i] ?? 0 });
      }
      await stage.sleep(500 + random.int(1500));
      await Promise.all(nodes.map((node) => system.kill(node)));
      for (const node of nodes) system.disk(node).set({});
      await Promise.all(nodes.map((node) => system.start(node)));
      await untilServed(stage, 'lost-tail');
    });
  },
};

export const restartStorm: Nemesis = {
  name: 'restart-storm',
  about: 'kill -9 again and again, also while a replica recovers',
  episode: async (stage) => {
    const { system, random } = stage;
    const nodes = stage.take(minoritySize(system) + random.int(2));
    if (nodes.length === 0) return;
    await during(stage, { name: 'restart-storm', nodes }, async () => {
      const rounds = 3 + random.int(4);
      for (let round = 0; round < rounds && !stage.signal.aborted; round += 1) {
        for (const node of nodes) await system.kill(node);
        for (const node of nodes) await system.start(node);
        // Sometimes before it has opened its files, sometimes behind its first votes.
        await stage.sleep(50 + random.int(1500));
      }
    });
  },
};

export const rollingRestart: Nemesis = {
  name: 'rolling-restart',
  about: 'SIGTERM and start of one replica after the other',
  claims: ['all'],
  episode: async (stage) => {
    const { system } = stage;
    const nodes = stage.take(system.names.length);
    await during(stage, { name: 'rolling-restart', nodes }, async () => {
      for (const node of nodes) {
        if (stage.signal.aborted) return;
        await system.stop(node);
        await system.start(node);
        await untilServed(stage, 'rolling-restart');
      }
    });
  },
};

export const rollingUpgrade: Nemesis = {
  name: 'rolling-upgrade',
  about:
    'replicas that know older formats are replaced by such that know the newest, one after the other',
  claims: ['all'],
  needsOldReplicas: true,
  episode: async (stage) => {
    const { system } = stage;
    const nodes = stage.take(system.names.length);
    await during(stage, { name: 'rolling-upgrade', nodes }, async () => {
      for (const node of nodes) {
        if (stage.signal.aborted) return;
        await system.stop(node);
        system.upgrade(node);
        await system.start(node);
        await untilServed(stage, 'rolling-upgrade');
      }
    });
  },
};

const SERVED_MS_MAX = 60_000;

/** Waits until a write has been served. What else is on lasts for seconds, so that within a minute one must be. */
export async function untilServed(stage: Stage, name: string): Promise<void> {
  const { db, signal, sleep } = stage;
  const untilMs = performance.now() + SERVED_MS_MAX;
  while (!signal.aborted) {
    const served = await db.put('served', '0', { timeoutMs: 2000 }).then(
      () => true,
      () => false,
    );
    if (served || signal.aborted) return;
    if (performance.now() >= untilMs) {
      stage.wrong(`${name}: no write was served within a minute`);
      return;
    }
    await sleep(50);
  }
}
