import { BalsaError } from '../../src/client/client.js';
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
        await system.cluster.discard(name);
        system.deleteData(name);
      }
      return;
    } catch (error) {
      if (!(error instanceof BalsaError)) throw error;
      await stage.sleep(200);
    }
  }
}

/** @param work who was to leave, and may do so yet: nobody has heard what became of that */
async function change(
  stage: Stage,
  name: string,
  work: () => Promise<string | null>,
): Promise<void> {
  let leaving: string | null = null;
  await during(stage, { name, nodes: stage.system.names }, async () => {
    leaving = await work();
    await tidyUp(stage);
  });
  if (leaving === null) return;
  stage.endsWithPeriod(stage.faults.begin('member-may-leave', [leaving]).end);
}

async function add(stage: Stage, replaces?: string): Promise<boolean> {
  const { system } = stage;
  const name = freeName(stage);
  if (name === null) return false;
  system.deleteData(name);
  const what = replaces === undefined ? 'member added' : 'member replaced';
  return tryTo(stage, what, () =>
    system.cluster.addReplica(replaces === undefined ? { name } : { name, replaces }),
  );
}

export const memberAdd: Nemesis = {
  name: 'member-add',
  about: 'a member is added under load, and one is removed again, the leader too',
  claims: ['members'],
  episode: async (stage) => {
    await change(stage, 'member-add', async () => {
      if (!(await add(stage))) return null;
      await stage.sleep(stage.random.int(stage.holdMs));
      // Not one that another fault has its hands on: that one would look for it in vain.
      const [gone] = stage.take(1);
      if (gone === undefined) return null;
      stage.system.leaves(gone);
      const remove = () => stage.system.cluster.removeReplica(gone);
      return (await tryTo(stage, 'member removed', remove)) ? null : gone;
    });
  },
};

export const memberReplace: Nemesis = {
  name: 'member-replace',
  about: 'a member leaves for one with an empty disk, under load',
  claims: ['members'],
  episode: async (stage) => {
    await change(stage, 'member-replace', async () => {
      const [old] = stage.take(1);
      if (old === undefined) return null;
      stage.system.leaves(old);
      return (await add(stage, old)) ? null : old;
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
