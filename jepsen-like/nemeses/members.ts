import { BalsaError } from '../../src/client/client.js';
import { SITES } from '../cluster/system.js';
import { during, type Nemesis, type Stage, shuffled } from './nemesis.js';

/** More replicas than these do not fit beside one another on the machine that is meant. */
const NAMES_MAX = 7;

function freeName({ system }: Stage): string | null {
  const all = Array.from({ length: NAMES_MAX }, (_, i) => `n${i + 1}`);
  return all.find((name) => !system.names.includes(name)) ?? null;
}

/** A change that a fault gets in the way of is no error: who is a member then, the cluster knows. */
async function tryTo(stage: Stage, what: string, work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    stage.count(what);
    return true;
  } catch (error) {
    if (!(error instanceof BalsaError)) throw error;
    stage.missed(`${what}: ${error.code}`);
    return false;
  }
}

/** Those that run here and are no members, or that are none any more, go; so that both lists are the same. */
async function tidyUp(stage: Stage): Promise<void> {
  const { system, db } = stage;
  const untilMs = performance.now() + 60_000;
  while (performance.now() < untilMs && !stage.signal.aborted) {
    try {
      const { members } = await db.cluster.settled({ timeoutMs: 10_000 });
      const known = members.members.map(({ name }) => name);
      for (const name of system.names.filter((one) => !known.includes(one))) {
        await system.discard(name);
      }
      return;
    } catch (error) {
      if (!(error instanceof BalsaError)) throw error;
      await stage.sleep(200);
    }
  }
}

/**
 * @param nodes who joins and who leaves
 * @param work who was to leave, and may do so yet: nobody has heard what became of that
 */
async function change(
  stage: Stage,
  { name, nodes }: { readonly name: string; readonly nodes: readonly string[] },
  work: () => Promise<string | null>,
): Promise<void> {
  let leaving: string | null = null;
  await during(stage, { name, nodes }, async () => {
    leaving = await work();
    await tidyUp(stage);
  });
  if (leaving === null) return;
  stage.endsWithPeriod(stage.faults.begin('member-may-leave', [leaving]).end);
}

export const memberAdd: Nemesis = {
  name: 'member-add',
  about: 'a member is added under load, and one is removed again, the leader too',
  claims: ['members'],
  episode: async (stage) => {
    const { system } = stage;
    const joins = freeName(stage);
    // Not one that another fault has its hands on: that one would look for it in vain.
    const [leaves] = stage.take(1);
    if (joins === null || leaves === undefined) return;
    await change(stage, { name: 'member-add', nodes: [joins, leaves] }, async () => {
      if (!(await tryTo(stage, 'member added', () => system.add(joins)))) return null;
      await stage.sleep(stage.random.int(stage.holdMs));
      const isGone = await tryTo(stage, 'member removed', () => system.remove(leaves));
      return isGone ? null : leaves;
    });
  },
};

export const memberReplace: Nemesis = {
  name: 'member-replace',
  about: 'a member leaves for one with an empty disk, under load',
  claims: ['members'],
  episode: async (stage) => {
    const { system } = stage;
    const joins = freeName(stage);
    const [leaves] = stage.take(1);
    if (joins === null || leaves === undefined) return;
    await change(stage, { name: 'member-replace', nodes: [joins, leaves] }, async () => {
      const replace = () => system.add(joins, leaves);
      return (await tryTo(stage, 'member replaced', replace)) ? null : leaves;
    });
  },
};

export const transfer: Nemesis = {
  name: 'transfer',
  about: 'leadership is handed over, again and again',
  episode: async (stage) => {
    const { system, db, random } = stage;
    await during(stage, { name: 'transfer', nodes: system.names }, async () => {
      const untilMs = performance.now() + stage.holdMs;
      while (performance.now() < untilMs && !stage.signal.aborted) {
        const [target = null] = shuffled(random, system.names);
        await tryTo(stage, 'transfer done', () =>
          db.cluster.transfer(random.int(4) === 0 ? null : target, { timeoutMs: 5000 }),
        );
        await stage.sleep(100 + random.int(1000));
      }
    });
  },
};

/** Shorter than the lease of a leader here (1350 ms): it is renewed all the while. */
const UNHEARD_MS = 600;

/** Whoever has handed over must not answer from then on, although it has not heard yet that another one leads. */
export const transferUnheard: Nemesis = {
  name: 'transfer-unheard',
  about:
    'leadership is handed over while all that others send to the old leader arrives late, and clients at one site reach the new one only',
  claims: ['network'],
  nodesMin: 2,
  needsProxies: true,
  episode: async (stage) => {
    const { system, db, random } = stage;
    const leader = await system.leader();
    const others = shuffled(
      random,
      system.names.filter((name) => name !== leader),
    );
    const [target] = others;
    if (leader === null || target === undefined) return;
    const { cluster } = system;
    const [site = 'east'] = shuffled(random, SITES);
    const fault = { name: 'transfer-unheard', nodes: [leader, target], detail: { site } };
    await during(stage, fault, async () => {
      for (const other of others) cluster.shape(other, leader, { delayMs: UNHEARD_MS });
      cluster.cut(site, leader, { how: 'reset' });
      cluster.cut(leader, site, { how: 'reset' });
      await stage.sleep(2 * UNHEARD_MS);
      await tryTo(stage, 'transfer done', () => db.cluster.transfer(target, { timeoutMs: 5000 }));
      await stage.sleep(2 * UNHEARD_MS);
      system.healNetwork();
    });
  },
};
