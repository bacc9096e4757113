import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../../src/base/limits.js';
import type { ClientAnswer } from '../../../src/rpc/protocol.js';
import { HubWorld, request, TestSink } from './hub-world.js';

const MiB = 1024 * 1024;
const large = 'x'.repeat(MiB);

/** Streams that begin at the first revision, in a world in which the turns of the event loop are counted by hand. */
async function behind(
  world: HubWorld,
  count: number,
  change: Parameters<typeof request>[0] = {},
): Promise<TestSink[]> {
  world.clock.isHeld = true;
  const sinks = Array.from({ length: count }, () => world.watch({ startRevision: 1, ...change }));
  await world.settle();
  return sinks;
}

/** One turn, and all that is read in it. */
async function turn(world: HubWorld): Promise<void> {
  world.clock.turn();
  await world.settle();
}

async function turnsToEnd(world: HubWorld): Promise<number> {
  let turns = 0;
  for (; world.clock.held > 0; turns += 1) await turn(world);
  return turns;
}

/** A stream that does something when it is told for the first time. */
class ActingSink extends TestSink {
  #act: (() => void) | null;

  constructor(act: () => void) {
    super();
    this.#act = act;
  }

  override send(answer: ClientAnswer): void {
    super.send(answer);
    const act = this.#act;
    this.#act = null;
    act?.();
  }
}

function toldSome(sinks: readonly TestSink[]): number {
  return sinks.filter(({ answers }) => answers.length > 0).length;
}

/** Each was told all that it wanted to hear of, in order. */
function expectAll(world: HubWorld, sinks: readonly TestSink[]): void {
  const expected = world.expected(request(), 1);
  for (const sink of sinks) expect(sink.told()).toEqual(expected);
}

describe('a page for many watches', () => {
  test('is told to some of them in each turn of the event loop, as much as two backlogs, and read once', async () => {
    const world = new HubWorld();
    for (let i = 0; i < 1000; i += 1) world.source.write({ a: 'x'.repeat(200) });
    const sinks = await behind(world, 100);
    let before = 0;
    for (;;) {
      const told = toldSome(sinks);
      expect(told).toBeGreaterThan(before);
      expect((told - before - 1) * 1000 * 200).toBeLessThan(2 * LIMITS.watchBacklogBytesMax);
      before = told;
      if (world.clock.held === 0) break;
      await turn(world);
    }
    expectAll(world, sinks);
    expect(world.source.pages).toEqual([1]);
  });

  test('is told to at least one of them in a turn, however much that is', async () => {
    const world = new HubWorld();
    world.source.write({ a: large.repeat(4) });
    const sinks = await behind(world, 3);
    expect(toldSome(sinks)).toBe(1);
    await turn(world);
    expect(toldSome(sinks)).toBe(2);
  });

  test('takes turns too when it has nothing for them, since to find that out costs something', async () => {
    const world = new HubWorld();
    for (let i = 0; i < 10; i += 1) world.source.write({ a: '1' });
    const sinks = await behind(world, 10_000, { from: Buffer.from('b'), to: Buffer.from('c') });
    expect(await turnsToEnd(world)).toBeGreaterThan(1);
    world.turn({ b: '2' });
    for (const sink of sinks) expect(sink.told()).toEqual(['11 put b=2']);
  });

  test('counts what its keys held before', async () => {
    const world = new HubWorld();
    world.source.write({ a: large });
    world.source.write({ a: 'small' });
    const sinks = await behind(world, 6, { startRevision: 2, withPrevious: true });
    expect(toldSome(sinks)).toBe(2);
    await turnsToEnd(world);
    expect(sinks.at(-1)?.told()).toEqual([`2 put a=small (was ${large})`]);
  });
});

describe('what happens between two turns in which a page is told', () => {
  test('writes are told once, in order, to those told before and to those told after', async () => {
    const world = new HubWorld();
    world.source.write({ a: large });
    const sinks = await behind(world, 8);
    for (let i = 0; world.clock.held > 0; i += 1) {
      world.turn({ a: `${i}` }, { b: `${i}` });
      await turn(world);
      world.turn({ a: null });
    }
    expect(world.source.revision).toBeGreaterThan(6);
    expectAll(world, sinks);
    expect(world.source.pages).toEqual([1]);
  });

  test('writes are told once also when another page has to be read', async () => {
    const world = new HubWorld();
    world.source.pageEventsMax = 2;
    for (let i = 0; i < 6; i += 1) world.source.write({ a: large.repeat(2) });
    const sinks = await behind(world, 4);
    for (let i = 0; world.clock.held > 0; i += 1) {
      if (i < 10) world.turn({ a: `${i}` });
      await turn(world);
    }
    await world.pass(1000);
    expectAll(world, sinks);
  });

  test('more writes than are kept are read', async () => {
    const world = new HubWorld();
    world.source.write({ a: large });
    const sinks = await behind(world, 8);
    world.turn({ a: 'kept' });
    await turn(world);
    for (let i = 0; i < 20; i += 1) world.turn({ b: large });
    await turn(world);
    world.turn({ a: 'not heard by those that read' });
    await turnsToEnd(world);
    expectAll(world, sinks);
    expect(world.source.pages).toEqual([1, 3]);
  });

  test('a watch that was cancelled is told nothing', async () => {
    const world = new HubWorld();
    world.source.write({ a: large });
    world.clock.isHeld = true;
    const sinks = Array.from({ length: 8 }, () => new TestSink());
    const watchers = sinks.map((sink) => world.add(request({ startRevision: 1 }), sink));
    await world.settle();
    for (const watcher of watchers.slice(5, 7)) world.hub.cancel(watcher);
    await turn(world);
    // Nor that it is compacted.
    world.source.compactedRevision = 2;
    await turnsToEnd(world);
    expect(sinks.map((sink) => sink.told().length)).toEqual([1, 1, 1, 1, 1, 0, 0, 1]);
  });

  test('all watches may be cancelled and others come, which hear what nobody heard meanwhile', async () => {
    const world = new HubWorld();
    world.source.write({ a: large });
    world.clock.isHeld = true;
    const watchers = Array.from({ length: 6 }, () =>
      world.add(request({ startRevision: 1 }), new TestSink()),
    );
    await world.settle();
    for (const watcher of watchers) world.hub.cancel(watcher);
    world.turn({ a: '2' });
    const sinks = await behind(world, 6);
    world.turn({ a: '3' });
    await turnsToEnd(world);
    expectAll(world, sinks);
  });

  test('a snapshot takes the place of the state, and the others are told from its history', async () => {
    const world = new HubWorld();
    world.source.write({ a: large });
    const sinks = await behind(world, 8);
    world.turn({ a: '2' });
    world.install({ a: '3' });
    await world.settle();
    world.turn({ a: '4' });
    await turnsToEnd(world);
    expectAll(world, sinks);
  });

  test('compaction ends those that are not told yet with COMPACTED', async () => {
    const world = new HubWorld();
    world.source.write({ a: large });
    world.source.write({ a: '2' });
    const sinks = await behind(world, 4, { withPrevious: true });
    expect(toldSome(sinks)).toBe(1);
    world.source.compactedRevision = 2;
    await turnsToEnd(world);
    const ends = sinks.map((sink) => sink.told().at(-1));
    const told = `2 put a=2 (was ${large})`;
    expect(ends).toEqual([told, 'error COMPACTED', 'error COMPACTED', 'error COMPACTED']);
  });

  test('a watch that ends all when it is told, and begins another one, leaves nobody else to tell', async () => {
    const world = new HubWorld();
    world.source.write({ a: '1' });
    const others = [new TestSink(), new TestSink()];
    const later = new TestSink();
    const first = new ActingSink(() => {
      for (const watcher of watchers) world.hub.cancel(watcher);
      world.watch({ startRevision: 1 }, later);
    });
    const watchers = [first, ...others].map((sink) =>
      world.add(request({ startRevision: 1 }), sink),
    );
    await world.settle();
    expect(toldSome(others)).toBe(0);
    expectAll(world, [later]);
    expect(world.source.pages).toEqual([1, 1]);
  });

  test('a pause that comes when one is told keeps the others waiting for the state to come', async () => {
    const world = new HubWorld();
    world.source.write({ a: '1' });
    const first = world.watch({ startRevision: 1 }, new ActingSink(() => world.hub.pause()));
    const other = world.watch({ startRevision: 1 });
    await world.settle();
    expect([first.told().length, other.told().length]).toEqual([1, 0]);
    world.hub.follow(world.source);
    await world.settle();
    expectAll(world, [first, other]);
  });
});

describe('the order in which those that are behind are told', () => {
  test('is that in which they have waited', async () => {
    const world = new HubWorld();
    world.source.write({ a: large });
    const sinks = await behind(world, 6);
    const late = world.watch({ startRevision: 1 });
    for (let told = 2; told <= 6; told += 2) {
      expect(sinks.map((sink) => sink.told().length)).toEqual(
        sinks.map((_, place) => (place < told ? 1 : 0)),
      );
      await turn(world);
    }
    await turnsToEnd(world);
    expect(late.told()).toHaveLength(1);
  });

  test('lets one that needs another page wait for some turns, and not for all of a large group', async () => {
    const world = new HubWorld();
    world.source.pageEventsMax = 1;
    world.source.write({ a: large });
    world.source.write({ b: '2' });
    world.clock.isHeld = true;
    const first = world.watch({ startRevision: 1 });
    const near = world.watch({ startRevision: 2 });
    const far = Array.from({ length: 200 }, () => world.watch({ startRevision: 1 }));
    await world.settle();
    expect(first.told()).toHaveLength(1);
    let turns = 1;
    for (; near.told().length === 0; turns += 1) await turn(world);
    expect(turns).toBe(16);
    expect(toldSome(far)).toBeLessThan(40);
    await turnsToEnd(world);
    expectAll(world, [first, ...far]);
    // Each of the two pages was read for some of them, and again for the others.
    expect(world.source.pages.length).toBeLessThan(8);
  });
});
