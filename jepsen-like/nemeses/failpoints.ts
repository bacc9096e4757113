import { FAILPOINTS } from '../../src/cluster/harness.js';
import { untilCaughtUp } from './disk.js';
import { during, type Nemesis, type Stage } from './nemesis.js';

/** Which one is next, and how often it was tried; the turn goes on from episode to episode. */
const turns = new WeakMap<object, { next: number; tries: number }>();

/** So often a place is tried in its turn until it is passed. */
const TRIES_MAX = 5;

/** Places that a replica passes only while it takes in a snapshot. */
function isOfSnapshot(name: string): boolean {
  return name.startsWith('snapshot.') && name !== 'snapshot.before-send';
}

/** Places that a replica passes only when it gives up entries of its log. */
function isOfTruncation(name: string): boolean {
  return name.endsWith('-truncate');
}

export const failpoint: Nemesis = {
  name: 'failpoint',
  about: 'a replica kills itself at a named place of its code, one place after the other',
  claims: ['disk', 'network'],
  episode: async (stage) => {
    const turn = turns.get(stage.system) ?? {
      next: stage.random.int(FAILPOINTS.length),
      tries: 0,
    };
    turns.set(stage.system, turn);
    const name = FAILPOINTS[turn.next % FAILPOINTS.length] ?? FAILPOINTS[0];
    let isPassed: boolean | null = false;
    try {
      isPassed = await killAt(stage, name);
    } finally {
      if (isPassed !== null) turn.tries += 1;
      if (isPassed === true || turn.tries >= TRIES_MAX) {
        turn.next += 1;
        turn.tries = 0;
      }
    }
  },
};

/** Passed with each entry, frame or answer, so that it can be any time; what is passed seldom kills the first time. */
const OFTEN = /^(wal|deltas)\.(before|after)-(append|sync)$|^apply\.|^reply\./;

/** For so long it is waited until a place is passed, in milliseconds. */
const PASSED_MS_MAX = 30_000;

/** @returns whether it was passed; `null`: it could not be tried */
async function killAt(stage: Stage, name: string): Promise<boolean | null> {
  const { system, random } = stage;
  const leader = await system.leader();
  const others = system.running.filter((one) => one !== leader);
  const needsData = isOfSnapshot(name);
  const [node] = stage.take(1, needsData ? others : undefined);
  if (node === undefined || system.running.length < system.names.length) return null;
  // Whom it is to send a snapshot.
  const needy = name === 'snapshot.before-send' ? stage.take(1) : [];
  const hits = OFTEN.test(name) ? 1 + random.int(5) : 1;
  const fault = { name: 'failpoint', nodes: [node, ...needy], detail: { name, hits } };
  let isPassed = false;
  await during(stage, fault, async () => {
    if (needsData) await passOn(stage, node);
    await system.stop(node);
    // It needs all of it then.
    if (needsData) loseDisk(stage, node);
    await system.start(node, { args: ['--unsafe-failpoints', `${name}=exit@${hits}`] });
    const over = new AbortController();
    const provoked = provoke(stage, name, { node, needy, over: over.signal }).then(() => null);
    const exit = await Promise.race([system.ends(node, 'failpoint'), provoked]);
    over.abort();
    isPassed = exit?.signal === 'SIGKILL';
    if (isPassed) stage.count(`failpoint ${name}`);
    else stage.missed(`failpoint ${name}: not passed`);
    await system.stop(node);
    await system.start(node);
    if (needsData) await untilCaughtUp(stage, node);
    await provoked;
    for (const one of needy) await untilCaughtUp(stage, one);
  });
  return isPassed;
}

/** Brings about what is needed for the place to be passed, as far as clients do not. */
async function provoke(
  stage: Stage,
  name: string,
  who: { readonly node: string; readonly needy: readonly string[]; readonly over: AbortSignal },
): Promise<void> {
  const { node, needy, over } = who;
  for (const other of needy) await makeNeedSnapshot(stage, node, other);
  const untilMs = performance.now() + PASSED_MS_MAX;
  while (performance.now() < untilMs && !over.aborted && !stage.signal.aborted) {
    if (isOfTruncation(name)) await leadAlone(stage, node, over);
    else await stage.sleep(100);
  }
}

async function waitOut(stage: Stage, ms: number, over: AbortSignal): Promise<void> {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs && !over.aborted && !stage.signal.aborted) {
    await stage.sleep(100);
  }
}

/** In that time what is known to one replica has long been merged, in milliseconds. */
const PASSED_ON_MS = 3000;

/** In that time the others have long had another leader, in milliseconds. */
const ALONE_MS = 6000;

/** It has just been started, and takes over when it has caught up. */
async function makeLead(stage: Stage, node: string): Promise<void> {
  await untilCaughtUp(stage, node);
  await stage.db.cluster.transfer(node, { timeoutMs: 10_000 }).catch(() => null);
}

/**
 * It leads, is cut off with entries that nobody else gets, and must give them up. Which may come to nothing: it may lose its office in between.
 */
async function leadAlone(stage: Stage, node: string, over: AbortSignal): Promise<void> {
  const { system } = stage;
  await makeLead(stage, node);
  // Before it is cut off: it resigns one election timeout later.
  const alone = await system.cluster.connectTo(node, { timeoutMs: 1500 }).catch(() => null);
  const served = await alone?.put('served', 'before').catch(() => null);
  if (served != null && (await system.leader()) === node && !over.aborted) {
    for (const other of system.names) {
      if (other === node) continue;
      system.cluster.cut(node, other);
      system.cluster.cut(other, node);
    }
    await alone?.put('served', 'alone').catch(() => null);
    await waitOut(stage, ALONE_MS, over);
    system.healNetwork();
    await waitOut(stage, ALONE_MS, over);
  }
  await alone?.close();
  await waitOut(stage, 100, over);
}

async function makeNeedSnapshot(stage: Stage, leader: string, other: string): Promise<void> {
  const { system } = stage;
  await passOn(stage, other);
  await makeLead(stage, leader);
  await system.kill(other);
  loseDisk(stage, other);
  await system.start(other);
}

/**
 * Of `ap` calls that it has acknowledged (`durability: 'local'`) nobody may have a copy yet: it is asked for nothing more, and the others get
 * those, before its disk is lost. Else they would be, and nobody to blame.
 */
async function passOn({ system, sleep }: Stage, node: string): Promise<void> {
  system.cutClients(node);
  await sleep(PASSED_ON_MS);
}

/** Clients reach it again, when it is started. */
function loseDisk({ system }: Stage, node: string): void {
  system.damaged(node);
  system.deleteData(node);
  system.healNetwork();
}
