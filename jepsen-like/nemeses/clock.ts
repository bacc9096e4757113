import type { Machine } from '../cluster/machine.js';
import { during, type Nemesis, type Stage, shuffled } from './nemesis.js';

const JUMP_SECONDS_MAX = 262;

function lacks({ fakeTimeLibrary }: Machine): string | null {
  return fakeTimeLibrary === null ? 'libfaketime is not installed' : null;
}

function drawOffset({ random }: Stage): number {
  // As often a little as a lot.
  const seconds = 2 ** (random.next() * Math.log2(JUMP_SECONDS_MAX * 1000)) / 1000;
  return random.int(2) === 0 ? seconds : -seconds;
}

/** Whatever the file says then, and the environment: who has not loaded the library has the right time. */
function checkLies({ system, missed }: Stage, nodes: readonly string[]): void {
  const honest = nodes.filter((node) => system.running.includes(node) && !system.liesOnTime(node));
  if (honest.length > 0) missed(`the clock of ${honest.join(', ')} does not lie`);
}

export const clockJump: Nemesis = {
  name: 'clock-jump',
  about: 'the time of day of some replicas jumps by up to 262 s, forward or back',
  lacks,
  needsClocks: true,
  episode: async (stage) => {
    const { system, random } = stage;
    const nodes = shuffled(random, system.names).slice(0, 1 + random.int(system.names.length));
    const offsets = nodes.map(() => drawOffset(stage));
    await during(stage, { name: 'clock-jump', nodes, detail: { offsets } }, async () => {
      for (const [i, node] of nodes.entries()) system.clock(node).set(offsets[i] ?? 0);
      await stage.sleep(stage.holdMs);
      checkLies(stage, nodes);
      for (const node of nodes) system.clock(node).set(0);
    });
  },
};

export const clockStrobe: Nemesis = {
  name: 'clock-strobe',
  about: 'the time of day of some replicas jumps to and fro, many times in a second',
  lacks,
  needsClocks: true,
  episode: async (stage) => {
    const { system, random } = stage;
    const nodes = shuffled(random, system.names).slice(0, 1 + random.int(system.names.length));
    const offset = drawOffset(stage);
    await during(stage, { name: 'clock-strobe', nodes, detail: { offset } }, async () => {
      const untilMs = performance.now() + stage.holdMs;
      while (performance.now() < untilMs && !stage.signal.aborted) {
        for (const node of nodes) system.clock(node).set(random.int(2) === 0 ? offset : 0);
        await stage.sleep(5 + random.int(200));
      }
      checkLies(stage, nodes);
      for (const node of nodes) system.clock(node).set(0);
    });
  },
};

/** As far apart as clocks of any sort may run: `LEASE_DRIFT_MARGIN` of the replica is a tenth. */
const DRIFT_MAX = 0.04;

export const clockDrift: Nemesis = {
  name: 'clock-drift',
  about: 'all clocks of a replica run up to 4 % too fast or too slow, also those that only count',
  lacks,
  needsClocks: true,
  episode: async (stage) => {
    const { system, random } = stage;
    const library = system.machine.fakeTimeLibrary;
    const [node] = stage.take(1);
    if (node === undefined || library === null) return;
    const rate = Number((1 + (random.next() * 2 - 1) * DRIFT_MAX).toFixed(4));
    const restart = async (of: number): Promise<void> => {
      await system.stop(node);
      await system.start(node, { env: system.clock(node).environment(library, of) });
    };
    await during(stage, { name: 'clock-drift', nodes: [node], detail: { rate } }, async () => {
      await restart(rate);
      await stage.sleep(stage.holdMs);
      checkLies(stage, [node]);
      await restart(1);
    });
  },
};
