import { FAILPOINTS } from '../../src/cluster/harness.js';
import { untilCaughtUp } from './disk.js';
import { during, type Nemesis, type Stage } from './nemesis.js';

/** Which one is next; the turn goes on from episode to episode. */
const turns = new WeakMap<object, { next: number }>();

/** Places that a replica passes only while it takes in a snapshot. */
function isOfSnapshot(name: string): boolean {
  return name.startsWith('snapshot.') && name !== 'snapshot.before-send';
}

export const failpoint: Nemesis = {
  name: 'failpoint',
  about: 'a replica kills itself at a named place of its code, one place after the other',
  claims: ['disk', 'network'],
  episode: async (stage) => {
    const turn = turns.get(stage.system) ?? { next: stage.random.int(FAILPOINTS.length) };
    turns.set(stage.system, turn);
    const name = FAILPOINTS[turn.next % FAILPOINTS.length] ?? FAILPOINTS[0];
    turn.next += 1;
    await killAt(stage, name);
  },
};

/** Each named place in the order of the list: for campaigns. */
export async function killAt(stage: Stage, name: string): Promise<boolean> {
  const { system, random } = stage;
  const leader = await system.leader();
  const others = system.running.filter((one) => one !== leader);
  const needsData = isOfSnapshot(name);
  const [node] = stage.take(1, needsData ? others : undefined);
  if (node === undefined || system.running.length < system.names.length) return false;
  let hit = false;
  const hits = needsData ? 1 : 1 + random.int(5);
  const detail = { name, hits };
  await during(stage, { name: 'failpoint', nodes: [node], detail }, async () => {
    await system.stop(node);
    if (needsData) {
      // It needs all of it then.
      system.damaged(node);
      system.deleteData(node);
    }
    await system.start(node, { args: ['--unsafe-failpoints', `${name}=exit@${hits}`] });
    const exit = await Promise.race([
      system.ends(node),
      provoke(stage, name, node).then(() => null),
    ]);
    hit = exit?.signal === 'SIGKILL';
    stage.count(`failpoint ${name}${hit ? '' : ': not passed'}`);
    await system.stop(node);
    await system.start(node);
    if (needsData) await untilCaughtUp(stage, node);
  });
  return hit;
}

/** Brings about what is needed for the place to be passed, as far as clients do not. */
async function provoke(stage: Stage, name: string, node: string): Promise<void> {
  const { system } = stage;
  const untilMs = performance.now() + Math.max(8000, stage.holdMs);
  if (name === 'wal.before-truncate' || name === 'wal.after-truncate') await leadAlone(stage, node);
  if (name === 'snapshot.before-send') await makeOneNeedSnapshot(stage, node);
  while (performance.now() < untilMs && !stage.signal.aborted) {
    if (!system.cluster.replica(node).running) return;
    await stage.sleep(100);
  }
}

/** It leads, is cut off with entries that nobody else gets, and must give them up. */
async function leadAlone(stage: Stage, node: string): Promise<void> {
  const { system, db } = stage;
  await db.cluster.transfer(node, { timeoutMs: 10_000 }).catch(() => null);
  for (const other of system.names) {
    if (other === node) continue;
    system.cluster.cut(node, other);
    system.cluster.cut(other, node);
  }
  const alone = await system.cluster.connectTo(node, { timeoutMs: 1500 }).catch(() => null);
  await alone?.put('served', 'alone').catch(() => null);
  await alone?.close();
  await stage.sleep(2500);
  system.healNetwork();
}

async function makeOneNeedSnapshot(stage: Stage, leader: string): Promise<void> {
  const { system, db } = stage;
  await db.cluster.transfer(leader, { timeoutMs: 10_000 }).catch(() => null);
  const [other] = stage.take(1);
  if (other === undefined) return;
  await system.kill(other);
  system.damaged(other);
  system.deleteData(other);
  await system.start(other);
}
