import { LIMITS } from '../../../src/base/limits.js';
import { packOperations } from '../../../src/base/operation-codec.js';
import { WatchHub } from '../../../src/server/watch-hub.js';
import { packCommand } from '../../../src/statemachine/command.js';
import { StateMachine } from '../../../src/statemachine/state-machine.js';
import { VirtualClock } from '../../client/support/virtual-clock.js';
import { SimpleStateStore } from '../../statemachine/simple-state-store.js';
import { keyRequest, request, TestSink } from './hub-world.js';

/**
 * `npx tsx test/server/watch/idle-cost.ts`: what a put costs to apply and to tell of, with watchers that watch
 * something else. The cases take turns and the best round of each counts, so that other load on the machine
 * matters little.
 */
const WATCHERS = 10_000;
const ROUNDS = 15;
const PUTS_PER_ROUND = 5000;
const VALUE = Buffer.alloc(128, 1);

interface Case {
  readonly name: string;
  readonly machine: StateMachine;
  readonly hub: WatchHub;
  sequence: number;
  bestUs: number;
}

async function prepare(
  name: string,
  ask: ((i: number) => ReturnType<typeof request>) | null,
): Promise<Case> {
  const machine = await StateMachine.open(new SimpleStateStore());
  const onFailure = (error: unknown): void => {
    throw error;
  };
  const limits = { ...LIMITS, watchesMax: WATCHERS };
  const hub = new WatchHub({ clock: new VirtualClock(), limits, onFailure }, machine);
  for (let i = 0; ask !== null && i < WATCHERS; i += 1) hub.watch(ask(i), new TestSink());
  return { name, machine, hub, sequence: 0, bestUs: Number.POSITIVE_INFINITY };
}

/** One batch of one put per entry: the dearest way. */
function round(each: Case): void {
  const entries = Array.from({ length: PUTS_PER_ROUND }, (_, i) => {
    each.sequence += 1;
    const key = Buffer.from(`load/${String(i % 1000).padStart(6, '0')}`);
    const batch = {
      ...{ sessionId: Buffer.alloc(16, 1), bornIndex: 0, sequence: each.sequence },
      acknowledged: each.sequence - 1,
      operations: packOperations([{ type: 'put', key, value: VALUE }]),
    };
    const payload = packCommand({ timeMs: each.sequence, batches: [batch] });
    return { index: each.sequence, type: 'command', payload } as const;
  });
  const startMs = performance.now();
  for (const entry of entries) {
    each.machine.apply(entry);
    each.hub.flush();
  }
  each.bestUs = Math.min(each.bestUs, ((performance.now() - startMs) * 1000) / PUTS_PER_ROUND);
}

const name = (i: number): string => `idle/${String(i).padStart(6, '0')}`;
const cases = [
  await prepare('no watcher', null),
  await prepare(`${WATCHERS} watch a key each`, (i) => keyRequest(name(i))),
  await prepare(`${WATCHERS} watch a range each`, (i) =>
    request({ from: Buffer.from(name(i)), to: Buffer.from(`${name(i)}~`) }),
  ),
  await prepare(`${WATCHERS} watch ranges around each other`, (i) =>
    request({ from: Buffer.from(name(i)), to: Buffer.from(name(2 * WATCHERS - i)) }),
  ),
];
for (let i = 0; i < ROUNDS; i += 1) for (const each of cases) round(each);
const base = cases[0]?.bestUs ?? 1;
for (const { name: what, bestUs } of cases) {
  console.log(`${what.padEnd(44)} ${bestUs.toFixed(2)} us a put   x ${(bestUs / base).toFixed(3)}`);
}
