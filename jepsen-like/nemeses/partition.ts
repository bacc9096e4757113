import { SITES } from '../cluster/system.js';
import { during, minoritySize, type Nemesis, type Stage, shuffled } from './nemesis.js';

/** Each side gets clients; a third site is with either. */
function withSites(stage: Stage, groups: readonly (readonly string[])[]): string[][] {
  const sites = shuffled(stage.random, SITES);
  return groups.map((group, i) => [...group, ...sites.filter((_, j) => j % groups.length === i)]);
}

async function partFor(
  stage: Stage,
  name: string,
  groups: readonly (readonly string[])[],
): Promise<void> {
  const { system } = stage;
  const placed = withSites(stage, groups);
  const how = (['cut', 'cut', 'reset', 'half-open'] as const)[stage.random.int(4)] ?? 'cut';
  const detail = { groups: placed, how };
  await during(stage, { name, nodes: groups.flat(), detail }, async () => {
    system.part(placed, how);
    await stage.sleep(stage.holdMs);
    system.healNetwork();
  });
}

export const partitionLeader: Nemesis = {
  name: 'partition-leader',
  about: 'the leader is cut off from all others, with the clients at one site',
  claims: ['network'],
  episode: async (stage) => {
    const leader = await stage.system.leader();
    if (leader === null) return;
    const others = stage.system.names.filter((name) => name !== leader);
    await partFor(stage, 'partition-leader', [[leader], others]);
  },
};

export const partitionHalves: Nemesis = {
  name: 'partition-halves',
  about: 'a random majority and the rest cannot reach each other',
  claims: ['network'],
  episode: async (stage) => {
    const names = shuffled(stage.random, stage.system.names);
    const size = minoritySize(stage.system);
    await partFor(stage, 'partition-halves', [names.slice(0, size), names.slice(size)]);
  },
};

export const partitionRing: Nemesis = {
  name: 'partition-ring',
  about: 'each replica reaches a majority, and no two the same one',
  // Of three, each is beside both others.
  nodesMin: 4,
  claims: ['network'],
  episode: async (stage) => {
    const { system, random } = stage;
    const ring = shuffled(random, system.names);
    // Itself and so many on either side are a majority.
    const reach = Math.ceil(Math.floor(ring.length / 2) / 2);
    await during(stage, { name: 'partition-ring', nodes: ring }, async () => {
      for (const [i, from] of ring.entries()) {
        for (const [j, to] of ring.entries()) {
          const apart = Math.min(Math.abs(i - j), ring.length - Math.abs(i - j));
          if (apart > reach) system.cluster.cut(from, to);
        }
      }
      await stage.sleep(stage.holdMs);
      system.healNetwork();
    });
  },
};

export const partitionBridge: Nemesis = {
  name: 'partition-bridge',
  about: 'two halves reach each other over one replica alone',
  claims: ['network'],
  episode: async (stage) => {
    const { system, random } = stage;
    const [bridge, ...rest] = shuffled(random, system.names);
    if (bridge === undefined) return;
    const half = Math.ceil(rest.length / 2);
    const left = rest.slice(0, half);
    const right = rest.slice(half);
    const detail = { left, bridge, right };
    await during(stage, { name: 'partition-bridge', nodes: system.names, detail }, async () => {
      for (const from of left) {
        for (const to of right) {
          system.cluster.cut(from, to);
          system.cluster.cut(to, from);
        }
      }
      await stage.sleep(stage.holdMs);
      system.healNetwork();
    });
  },
};

export const partitionOneWay: Nemesis = {
  name: 'partition-one-way',
  about:
    'what some replicas send arrives nowhere, or they hear nothing; the other direction goes on',
  claims: ['network'],
  episode: async (stage) => {
    const { system, random } = stage;
    const leader = await system.leader();
    const isLeader = leader !== null && random.int(2) === 0;
    const nodes = isLeader
      ? [leader]
      : shuffled(random, system.names).slice(0, 1 + random.int(minoritySize(system)));
    const others = system.names.filter((name) => !nodes.includes(name));
    const hears = random.int(2) === 0;
    const detail = { hears };
    await during(stage, { name: 'partition-one-way', nodes, detail }, async () => {
      for (const node of nodes) {
        for (const other of others) {
          if (hears) system.cluster.cut(node, other);
          else system.cluster.cut(other, node);
        }
      }
      await stage.sleep(stage.holdMs);
      system.healNetwork();
    });
  },
};

export const partitionFlapping: Nemesis = {
  name: 'partition-flapping',
  about: 'the network falls apart in another way every moment',
  claims: ['network'],
  episode: async (stage) => {
    const { system, random } = stage;
    await during(stage, { name: 'partition-flapping', nodes: system.names }, async () => {
      const untilMs = performance.now() + stage.holdMs;
      while (performance.now() < untilMs && !stage.signal.aborted) {
        const names = shuffled(random, system.names);
        const cut = 1 + random.int(names.length - 1);
        system.part(withSites(stage, [names.slice(0, cut), names.slice(cut)]));
        await stage.sleep(100 + random.int(900));
        if (random.int(2) === 0) {
          system.healNetwork();
          await stage.sleep(random.int(600));
        }
      }
      system.healNetwork();
    });
  },
};

export const clientsCutOff: Nemesis = {
  needsProxies: true,
  name: 'clients-cut-off',
  about:
    'the clients at one site reach a part of the replicas only, or none; these reach each other',
  claims: ['network'],
  episode: async (stage) => {
    const { system, random } = stage;
    const [site = 'east'] = shuffled(random, SITES);
    const nodes = shuffled(random, system.names).slice(0, 1 + random.int(system.names.length));
    const how = (['cut', 'reset', 'half-open'] as const)[random.int(3)] ?? 'cut';
    const detail = { site, how };
    await during(stage, { name: 'clients-cut-off', nodes, detail }, async () => {
      for (const node of nodes) {
        system.cluster.cut(site, node, { how });
        system.cluster.cut(node, site, { how });
      }
      await stage.sleep(stage.holdMs);
      system.healNetwork();
    });
  },
};
