import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { WatchRequest } from '../../../src/rpc/protocol.js';
import type { Watcher } from '../../../src/server/watcher.js';
import { HubWorld, request, describe as say, TestSink } from './hub-world.js';

const KEYS = ['a', 'ab', 'b', 'ba', 'c'];

/** One watch of the run, and what it must come to. */
interface Asked {
  readonly asked: WatchRequest;
  readonly sink: TestSink;
  readonly watcher: Watcher;
  readonly fromRevision: number;
}

type Step =
  | { readonly do: 'turn'; readonly revisions: readonly (readonly [number, boolean][])[] }
  | {
      readonly do: 'watch';
      readonly range: readonly [number, number];
      readonly back: number | null;
    }
  | { readonly do: 'filter'; readonly noPuts: boolean; readonly back: number }
  | { readonly do: 'stall' | 'read' | 'cancel'; readonly which: number }
  | { readonly do: 'hold' | 'release' | 'install' | 'wait' }
  /** Turns of the event loop come by themselves no more, one comes, or they do again. */
  | { readonly do: 'hold-turns' | 'one-turn' | 'free-turns' };

const writes = fc.array(fc.tuple(fc.nat(KEYS.length - 1), fc.boolean()), {
  minLength: 1,
  maxLength: 4,
});
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('turn' as const),
      revisions: fc.array(writes, { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('watch' as const),
      range: fc.tuple(fc.nat(KEYS.length - 1), fc.nat(KEYS.length)),
      back: fc.option(fc.integer({ min: -3, max: 10 })),
    }),
  },
  fc.record({
    do: fc.constant('filter' as const),
    noPuts: fc.boolean(),
    back: fc.nat(5),
  }),
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('stall' as const, 'read' as const),
      which: fc.nat(9),
    }),
  },
  fc.record({ do: fc.constant('cancel' as const), which: fc.nat(9) }),
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('hold' as const, 'release' as const, 'install' as const, 'wait' as const),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('hold-turns' as const, 'one-turn' as const, 'free-turns' as const),
    }),
  },
);

class Run {
  readonly world = new HubWorld({ watchBacklogBytesMax: 150, watchProgressMs: 200 });
  readonly watches: Asked[] = [];
  #value = 0;

  async take(next: Step): Promise<void> {
    const { world } = this;
    if (next.do === 'turn') world.turn(...next.revisions.map((keys) => this.#writes(keys)));
    else if (next.do === 'watch') this.#watch(next.range, next.back, {});
    else if (next.do === 'filter') {
      this.#watch([0, 9], next.back, { noPuts: next.noPuts, noDeletes: !next.noPuts });
    } else if (next.do === 'hold') world.source.isHeld = true;
    else if (next.do === 'release') this.#release();
    else if (next.do === 'install') world.install(this.#writes([[0, true]]));
    else if (next.do === 'wait') await world.pass(100);
    else if (next.do === 'hold-turns') world.clock.isHeld = true;
    else if (next.do === 'one-turn') world.clock.turn();
    else if (next.do === 'free-turns') world.clock.free();
    else if ('which' in next) this.#toOne(next.do, next.which);
    await world.settle();
  }

  #writes(keys: readonly (readonly [number, boolean])[]): Record<string, string | null> {
    this.#value += 1;
    const value = `v${this.#value}`;
    return Object.fromEntries(keys.map(([key, put]) => [KEYS[key], put ? value : null]));
  }

  #watch(
    [first, last]: readonly [number, number],
    back: number | null,
    change: Partial<WatchRequest>,
  ): void {
    const { world, watches } = this;
    const { revision } = world.source;
    const startRevision = back === null ? null : Math.max(1, revision + 1 - back);
    const to = KEYS[Math.max(first + 1, last)];
    const from = Buffer.from(KEYS[first] ?? 'a');
    const asked = request({ from, to: to === undefined ? null : Buffer.from(to), ...change });
    const sink = new TestSink();
    const watcher = world.add({ ...asked, startRevision }, sink);
    watches.push({ asked, sink, watcher, fromRevision: startRevision ?? revision + 1 });
  }

  #toOne(what: 'stall' | 'read' | 'cancel', which: number): void {
    const watch = this.watches[which];
    if (watch === undefined) return;
    if (what === 'cancel') this.world.hub.cancel(watch.watcher);
    else watch.sink.reads = what === 'read';
    if (what === 'read') watch.sink.drain();
  }

  #release(): void {
    this.world.source.isHeld = false;
    this.world.source.release();
  }

  /** Everybody reads, and has had the time for it. */
  async end(): Promise<void> {
    this.#release();
    this.world.clock.free();
    for (const { sink } of this.watches) {
      sink.reads = true;
      sink.drain();
    }
    for (let i = 0; i < 5; i += 1) await this.world.pass(300);
  }
}

/** What it was told is right, as far as it goes: each event once, in order, none left out. */
function check({ asked, sink, watcher, fromRevision }: Asked, world: HubWorld): void {
  const expected = world.expected(asked, fromRevision);
  const told: string[] = [];
  for (const answer of sink.answers) {
    if (answer.type === 'watch-events') told.push(...say(answer));
    if (answer.type === 'watch-events' && answer.more) continue;
    if (!('revision' in answer)) continue;
    // It claims that all through this revision has been told: that must be so.
    const due = expected.filter((line) => Number.parseInt(line, 10) <= answer.revision);
    expect(told.slice(0, due.length)).toEqual(due);
  }
  if (watcher.phase === 'ended') expect(expected.slice(0, told.length)).toEqual(told);
  else expect(told).toEqual(expected);
}

describe('watches', () => {
  test('are told each event of their range once, in order, without gap, whatever happens', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
        const run = new Run();
        for (const next of steps) await run.take(next);
        await run.end();
        for (const watch of run.watches) check(watch, run.world);
        for (const { sink } of run.watches) expect(sink.waitingBytesSeen).toBeLessThan(400);
      }),
      { numRuns: 300 },
    );
  }, 60_000);
});
