import type { LinkShape } from '../../src/cluster/harness.js';
import { SITES } from '../cluster/system.js';
import { during, type Nemesis, type Stage, shuffled } from './nemesis.js';

interface BadLink {
  readonly name: string;
  readonly about: string;
  readonly shape: (stage: Stage) => LinkShape;
}

const BAD_LINKS: readonly BadLink[] = [
  {
    name: 'links-delayed',
    about: 'what passes the links of some replicas arrives 20 to 400 ms later',
    shape: ({ random }) => ({ delayMs: 20 + random.int(380) }),
  },
  {
    name: 'links-jitter',
    about:
      'what passes the links of some replicas arrives up to 300 ms later, each piece another time',
    shape: ({ random }) => ({ delayMs: 5, jitterMs: 50 + random.int(250) }),
  },
  {
    name: 'links-slow',
    about: 'the links of some replicas pass 10 to 200 kB in a second',
    shape: ({ random }) => ({ bytesPerSecond: 10_000 + random.int(190_000) }),
  },
  {
    name: 'links-lossy',
    about:
      'a part of what passes the links of some replicas is lost and sent again, as TCP does it',
    shape: ({ random }) => ({ delayMs: 1, lossChance: 0.02 + random.next() * 0.2 }),
  },
  {
    name: 'links-corrupt',
    about: 'now and then a bit turns over on its way',
    shape: ({ random }) => ({ corruptChance: 0.002 + random.next() * 0.02 }),
  },
];

export const LINK_NEMESES: readonly Nemesis[] = BAD_LINKS.map(({ name, about, shape }) => ({
  name,
  about,
  claims: ['network'],
  needsProxies: name !== 'links-lossy',
  episode: async (stage: Stage): Promise<void> => {
    const { system, random } = stage;
    const nodes = shuffled(random, system.names).slice(0, 1 + random.int(system.names.length));
    const others = [...system.names, ...(random.int(2) === 0 ? SITES : [])];
    const detail = shape(stage);
    await during(stage, { name, nodes, detail }, async () => {
      for (const node of nodes) {
        for (const other of others.filter((place) => place !== node)) {
          system.cluster.shape(node, other, detail);
          if (random.int(2) === 0) system.cluster.shape(other, node, detail);
        }
      }
      await stage.sleep(stage.holdMs);
      system.healNetwork();
    });
  },
}));

/** Answers get later by so much, so often, in milliseconds: slower than time goes, so that they never stop coming. */
const LATER_MS = 200;
const LATER_EACH_MS = 250;

/**
 * Whoever believes that it leads because somebody answers, and does not look to what, leads on beside its successor. What was
 * answered before keeps coming for longer than the longest election timeout of a replica here (twice 1500 ms). The clients at one
 * site lose the old leader, too, and write where the successor is: the others, to whom it still answers, do not look for another.
 */
export const linksAnswersLate: Nemesis = {
  name: 'links-answers-late',
  about:
    'what is answered to the leader arrives later and later, by 4 to 5 s; then what it sends to the others, and to the clients at one site, is lost',
  claims: ['network'],
  needsProxies: true,
  episode: async (stage) => {
    const { system, random } = stage;
    const leader = await system.leader();
    if (leader === null) return;
    const { cluster } = system;
    const others = system.names.filter((name) => name !== leader);
    const lateMs = 4000 + random.int(1000);
    const [site = 'east'] = shuffled(random, SITES);
    const detail = { lateMs, site };
    await during(stage, { name: 'links-answers-late', nodes: [leader], detail }, async () => {
      for (let delayMs = LATER_MS; delayMs < lateMs; delayMs += LATER_MS) {
        for (const other of others) cluster.shape(other, leader, { delayMs });
        await stage.sleep(LATER_EACH_MS);
      }
      for (const other of others) cluster.cut(leader, other);
      cluster.cut(site, leader, { how: 'reset' });
      cluster.cut(leader, site, { how: 'reset' });
      await stage.sleep(lateMs + 1000);
      system.healNetwork();
    });
  },
};

/** As when a machine in between restarts: every connection is reset, again and again. */
export const resetStorm: Nemesis = {
  name: 'reset-storm',
  about: 'all connections are reset, again and again',
  claims: ['network'],
  episode: async (stage) => {
    const { system, random } = stage;
    await during(stage, { name: 'reset-storm', nodes: system.names }, async () => {
      const untilMs = performance.now() + stage.holdMs;
      while (performance.now() < untilMs && !stage.signal.aborted) {
        for (const node of system.names) system.cluster.isolate(node, { how: 'reset' });
        system.healNetwork();
        await stage.sleep(50 + random.int(1000));
      }
    });
  },
};
