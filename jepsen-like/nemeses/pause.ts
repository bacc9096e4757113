import { during, minoritySize, type Nemesis, type Stage } from './nemesis.js';

/** Longer than the longest election timeout of a replica here (twice 1500 ms), and than any lease of a leader. */
const LONG_PAUSE_MS = 3500;

async function pauseFor(
  stage: Stage,
  name: string,
  nodes: readonly string[],
  pauseMs: number,
): Promise<void> {
  if (nodes.length === 0) return;
  const { system } = stage;
  await during(stage, { name, nodes, detail: { pauseMs } }, async () => {
    for (const node of nodes) system.pause(node);
    await stage.sleep(pauseMs);
    for (const node of nodes) system.resume(node);
  });
}

export const pauseLeader: Nemesis = {
  name: 'pause-leader',
  about: 'SIGSTOP of the leader for longer than its election timeout and its lease, then SIGCONT',
  episode: async (stage) => {
    const leader = await stage.system.leader();
    if (leader === null) return;
    const pauseMs = Math.max(LONG_PAUSE_MS + stage.random.int(2000), stage.holdMs);
    await pauseFor(stage, 'pause-leader', stage.take(1, [leader]), pauseMs);
  },
};

export const pause: Nemesis = {
  name: 'pause',
  about: 'SIGSTOP of any replicas but a majority, from 100 ms to the length of the episode',
  episode: async (stage) => {
    const nodes = stage.take(1 + stage.random.int(minoritySize(stage.system)));
    const pauseMs = 100 + stage.random.int(Math.max(1, stage.holdMs));
    await pauseFor(stage, 'pause', nodes, pauseMs);
  },
};

export const pauseMajority: Nemesis = {
  name: 'pause-majority',
  about: 'SIGSTOP of a majority, the leader among them',
  claims: ['all'],
  episode: async (stage) => {
    const leader = await stage.system.leader();
    const preferred = leader === null ? [] : [leader];
    const nodes = stage.take(minoritySize(stage.system) + 1, preferred);
    await pauseFor(stage, 'pause-majority', nodes, Math.max(LONG_PAUSE_MS, stage.holdMs));
  },
};
