import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../../src/base/errors.js';
import type { ClientAnswer } from '../../../src/rpc/protocol.js';
import { HubWorld, keyRequest, request, TestSink } from './hub-world.js';

const b = (text: string): Buffer => Buffer.from(text);

function eventAnswers(sink: TestSink): Extract<ClientAnswer, { type: 'watch-events' }>[] {
  return sink.answers.filter((answer) => answer.type === 'watch-events');
}

function codeOf(act: () => void): { code: string; details: unknown } {
  try {
    act();
  } catch (error) {
    if (error instanceof BalsaError) return { code: error.code, details: error.details };
  }
  throw new Error('it was not refused');
}

describe('a watch of what comes', () => {
  test('tells puts and deletions of its range, in order, and of no other key', () => {
    const world = new HubWorld();
    world.turn({ b: 'old' });
    const sink = world.watch({ from: b('b'), to: b('c') });
    world.turn({ b: 'x' }, { a: '-' }, { c: '-' }, { bb: 'y' });
    world.turn({ b: null });
    expect(sink.told()).toEqual(['2 put b=x', '5 put bb=y', '6 delete b']);
  });

  test('of a single key hears of that key alone', () => {
    const world = new HubWorld();
    const sink = new TestSink();
    world.add(keyRequest('k'), sink);
    world.turn({ k: '1' }, { 'k\0': '2' }, { kk: '3' }, { k: '4' });
    expect(sink.told()).toEqual(['1 put k=1', '4 put k=4']);
  });

  test('without an end hears of every key from its beginning on', () => {
    const world = new HubWorld();
    const sink = world.watch({ from: b('m'), to: null });
    world.turn({ a: '1' }, { m: '2' }, { zzz: '3' });
    expect(sink.told()).toEqual(['2 put m=2', '3 put zzz=3']);
  });

  test('is told all events of one turn in one answer, and through which revision that is', () => {
    const world = new HubWorld();
    const sink = world.watch();
    world.turn({ a: '1' }, { b: '2' }, { A: 'out of its range' });
    const [answer, ...others] = eventAnswers(sink);
    expect(others).toEqual([]);
    expect(answer).toMatchObject({ revision: 3, more: false });
    expect(answer?.events).toHaveLength(2);
  });

  test('says what the key held before when it was asked for', () => {
    const world = new HubWorld();
    const sink = world.watch({ withPrevious: true });
    world.turn({ a: '1' }, { a: '2' });
    world.turn({ a: null }, { a: '3' });
    expect(sink.told()).toEqual([
      '1 put a=1',
      '2 put a=2 (was 1)',
      '3 delete a (was 2)',
      '4 put a=3',
    ]);
  });

  test('leaves out puts or deletions that are not wanted', async () => {
    const world = new HubWorld();
    world.turn({ a: '0' });
    const deletions = world.watch({ noPuts: true, startRevision: 1 });
    const puts = world.watch({ noDeletes: true, startRevision: 1 });
    await world.settle();
    world.turn({ a: '1' }, { a: null }, { a: '2' });
    expect(deletions.told()).toEqual(['3 delete a']);
    expect(puts.told()).toEqual(['1 put a=0', '2 put a=1', '4 put a=2']);
  });

  test('is told nothing any more when it was cancelled', () => {
    const world = new HubWorld();
    const sink = new TestSink();
    const watcher = world.add(request(), sink);
    world.source.write({ a: '1' });
    world.hub.cancel(watcher);
    world.turn({ a: '2' });
    expect(sink.told()).toEqual([]);
    expect(world.hub.size).toBe(0);
  });

  test('makes the state machine tell of writes only while there is one', () => {
    const world = new HubWorld();
    expect(world.source.isHeard).toBe(false);
    const watcher = world.add(request(), new TestSink());
    expect(world.source.isHeard).toBe(true);
    world.hub.cancel(watcher);
    expect(world.source.isHeard).toBe(false);
  });
});

describe('a watch from a revision of the past', () => {
  test('reads history first and then goes on live, without gap or duplicate', async () => {
    const world = new HubWorld();
    world.turn({ a: '1' }, { a: '2' }, { a: '3' });
    const sink = world.watch({ startRevision: 2 });
    await world.settle();
    world.turn({ a: '4' });
    expect(sink.told()).toEqual(['2 put a=2', '3 put a=3', '4 put a=4']);
  });

  test('misses nothing that is applied while it reads', async () => {
    const world = new HubWorld();
    world.turn({ a: '1' }, { a: '2' });
    world.source.isHeld = true;
    const sink = world.watch({ startRevision: 1 });
    world.turn({ a: '3' });
    world.turn({ a: '4' });
    world.source.release();
    await world.settle();
    world.turn({ a: '5' });
    expect(sink.told()).toEqual(['1 put a=1', '2 put a=2', '3 put a=3', '4 put a=4', '5 put a=5']);
    expect(world.source.pages).toEqual([1]);
  });

  test('keeps no more than some MiB of what is written while it reads, and reads that, too', async () => {
    const world = new HubWorld();
    const large = 'x'.repeat(1024 * 1024);
    const begin = async (writes: number): Promise<TestSink> => {
      world.source.isHeld = true;
      const sink = world.watch({ startRevision: world.source.revision });
      for (let i = 0; i < writes; i += 1) world.turn({ a: large });
      world.source.isHeld = false;
      world.source.release();
      await world.settle();
      return sink;
    };
    world.turn({ a: '1' });
    expect((await begin(4)).told()).toHaveLength(5);
    expect(world.source.pages).toEqual([1]);
    expect((await begin(20)).told()).toHaveLength(21);
    expect(world.source.pages).toEqual([1, 5, 6]);
  });

  test('reads page by page; those that begin at about the same place share the pages', async () => {
    const world = new HubWorld();
    for (let i = 0; i < 20; i += 1) world.turn({ a: String(i) });
    world.source.pageEventsMax = 5;
    const sinks = Array.from({ length: 50 }, () => world.watch({ startRevision: 1 }));
    await world.settle();
    for (const sink of sinks) expect(sink.told()).toHaveLength(20);
    expect(world.source.pages.length).toBeLessThan(10);
  });

  test('that begins far back does not hold up one that lacks little', async () => {
    const world = new HubWorld();
    for (let i = 0; i < 100; i += 1) world.turn({ a: String(i) });
    world.source.pageEventsMax = 5;
    const far = world.watch({ startRevision: 1 });
    const near = world.watch({ startRevision: 99 });
    world.source.isHeld = true;
    await world.settle();
    for (let page = 0; page < 3; page += 1) {
      world.source.release();
      await world.settle();
    }
    expect(near.told()).toEqual(['99 put a=98', '100 put a=99']);
    expect(far.told().length).toBeLessThan(20);
  });

  test('that is in the future waits for it', async () => {
    const world = new HubWorld();
    const sink = world.watch({ startRevision: 3 });
    world.turn({ a: '1' });
    world.turn({ a: '2' }, { a: '3' });
    world.turn({ a: '4' });
    expect(sink.told()).toEqual(['3 put a=3', '4 put a=4']);
  });

  test('that is no longer kept is refused as COMPACTED with what is', () => {
    const world = new HubWorld();
    world.turn({ a: '1' }, { a: '2' }, { a: '3' });
    world.source.compactedRevision = 3;
    expect(codeOf(() => world.watch({ startRevision: 2 }))).toEqual({
      code: 'COMPACTED',
      details: { revision: 2, oldest: 3, compactedRevision: 3 },
    });
    expect(() => world.watch({ startRevision: 3 })).not.toThrow();
  });

  test('ends with COMPACTED when compaction overtakes it while it reads', async () => {
    const world = new HubWorld();
    for (let i = 0; i < 10; i += 1) world.turn({ a: String(i) });
    world.source.pageEventsMax = 2;
    world.source.isHeld = true;
    const sink = world.watch({ startRevision: 1 });
    const other = world.watch({ startRevision: 8 });
    await world.settle();
    world.source.compactedRevision = 6;
    world.source.isHeld = false;
    world.source.release();
    await world.settle();
    expect(sink.told()).toEqual(['error COMPACTED']);
    expect(other.told()).toEqual(['8 put a=7', '9 put a=8', '10 put a=9']);
  });
});

describe('a revision with many events', () => {
  const many = (count: number, bytes: number): Record<string, string> =>
    Object.fromEntries(
      Array.from({ length: count }, (_, i) => [
        `k${String(i).padStart(4, '0')}`,
        'x'.repeat(bytes),
      ]),
    );

  test('is told in fragments that say that more follow, and is complete with the last', async () => {
    const world = new HubWorld({ watchBacklogBytesMax: 4000 });
    const live = world.watch();
    world.turn(many(100, 200), { z: 'next' });
    const past = world.watch({ startRevision: 1 });
    await world.settle();
    for (const sink of [live, past]) {
      const answers = eventAnswers(sink);
      expect(answers.length).toBeGreaterThan(4);
      expect(sink.told()).toHaveLength(101);
      for (const answer of answers.slice(0, -1)) {
        const goesOn = answer.events.at(-1)?.item.modRevision === answer.revision;
        expect(answer).toMatchObject({ revision: 1, more: goesOn });
      }
      expect(answers.at(-1)).toMatchObject({ revision: 2, more: false });
    }
  });

  test('is told whole, each event once, also when the stream blocks in the middle of it', async () => {
    const world = new HubWorld({ watchBacklogBytesMax: 4000 });
    const sink = world.watch();
    sink.reads = false;
    world.turn(many(100, 200));
    expect(sink.told().length).toBeLessThan(100);
    expect(eventAnswers(sink).every(({ more }) => more)).toBe(true);
    for (let i = 0; i < 20; i += 1) {
      sink.drain();
      await world.pass(50);
    }
    const told = sink.told().filter((line) => line.startsWith('1 put'));
    expect(told).toEqual(world.expected(request(), 1));
    expect(eventAnswers(sink).at(-1)).toMatchObject({ revision: 1, more: false });
  });
});

describe('a client that reads too slowly', () => {
  test('is told that it lags, and gets what it lacks from history when it has drained', async () => {
    const world = new HubWorld({ watchBacklogBytesMax: 1000 });
    const sink = world.watch();
    sink.reads = false;
    for (let i = 0; i < 20; i += 1) world.turn({ a: `${i}-`.padEnd(100, 'x') });
    const before = sink.told().length;
    expect(before).toBeLessThan(20);
    expect(sink.told().at(-1)).toBe(`lagging ${before - 1}`);

    sink.reads = true;
    sink.drain();
    await world.pass(50);
    world.turn({ a: 'now' });
    const events = sink.told().filter((line) => !line.startsWith('lagging'));
    expect(events).toEqual(world.expected(request(), 1));
    expect(events).toHaveLength(21);
  });

  test('that never reads costs a bounded number of bytes, however much is written', async () => {
    const world = new HubWorld({ watchBacklogBytesMax: 10_000 });
    const sinks = Array.from({ length: 5 }, () => world.watch({ withPrevious: true }));
    for (const sink of sinks) sink.reads = false;
    for (let i = 0; i < 3000; i += 1) {
      world.turn({ a: 'x'.repeat(1000) }, { b: 'y'.repeat(1000) });
      if (i % 100 === 0) await world.pass(1000);
    }
    for (const sink of sinks) {
      expect(sink.waitingBytes).toBeLessThan(2 * 10_000);
      expect(sink.told().filter((line) => line.startsWith('lagging'))).toHaveLength(1);
    }
  });

  test('does not hold up another one', () => {
    const world = new HubWorld({ watchBacklogBytesMax: 1000 });
    const slow = world.watch();
    slow.reads = false;
    const quick = world.watch();
    for (let i = 0; i < 50; i += 1) world.turn({ a: 'x'.repeat(100) });
    expect(quick.told()).toHaveLength(50);
  });

  test('ends with COMPACTED when compaction overtakes it', async () => {
    const world = new HubWorld({ watchBacklogBytesMax: 1000 });
    const sink = world.watch();
    sink.reads = false;
    for (let i = 0; i < 30; i += 1) world.turn({ a: 'x'.repeat(100) });
    world.source.compactedRevision = 25;
    sink.drain();
    await world.pass(50);
    expect(sink.told().at(-1)).toBe('error COMPACTED');
    expect(world.hub.size).toBe(0);
  });
});

describe('a hub that nobody watched for a while', () => {
  test('tells the next one what was written meanwhile, also when a page was being read', async () => {
    const world = new HubWorld();
    world.turn({ a: '1' }, { a: '2' });
    world.source.isHeld = true;
    const first = world.add(request({ startRevision: 1 }), new TestSink());
    world.hub.cancel(first);
    world.turn({ a: '3' });
    const sink = world.watch({ startRevision: 2 });
    world.turn({ a: '4' });
    world.source.isHeld = false;
    world.source.release();
    await world.pass(50);
    expect(sink.told()).toEqual(['2 put a=2', '3 put a=3', '4 put a=4']);
  });
});

describe('what the state had applied', () => {
  test('is said with what is told, live and from history', async () => {
    const world = new HubWorld();
    const live = world.watch();
    world.turn({ a: '1' }, { a: '2' });
    const later = world.watch({ startRevision: 1 });
    await world.settle();
    world.turn({ a: '3' });
    const indexes = [live, later].map((sink) =>
      eventAnswers(sink).map(({ revision, appliedIndex }) => [revision, appliedIndex]),
    );
    const told = [
      [2, 102],
      [3, 103],
    ];
    expect(indexes).toEqual([told, told]);
  });
});

describe('progress', () => {
  const quiet = { from: b('k'), to: b('l') };

  test('is told after silence, with the revision through which everything has been told', async () => {
    const world = new HubWorld({ watchProgressMs: 1000 });
    const sink = world.watch({ from: b('k'), to: b('l') });
    world.turn({ a: '1' }, { b: '2' });
    await world.pass(1100);
    expect(sink.told()).toEqual(['progress 2']);
  });

  test('is told once to all the watches of a stream of which the same can be said', async () => {
    const world = new HubWorld({ watchProgressMs: 1000 });
    const [sink, other] = [new TestSink(), new TestSink()];
    for (let id = 1; id <= 5; id += 1) world.watch({ id, ...quiet }, sink);
    world.watch({ id: 1, ...quiet }, other);
    world.turn({ a: '1' }, { b: '2' });
    await world.pass(1100);
    const said = sink.answers.filter(({ type }) => type === 'watch-progress');
    expect(said).toEqual([
      { type: 'watch-progress', id: 1, revision: 2, alsoFor: [2, 3, 4, 5], appliedIndex: 102 },
    ]);
    expect(other.told()).toEqual(['progress 2']);
  });

  test('is not told while there are events', async () => {
    const world = new HubWorld({ watchProgressMs: 1000 });
    const sink = world.watch();
    for (let i = 0; i < 10; i += 1) {
      world.turn({ a: String(i) });
      await world.pass(500);
    }
    expect(sink.told()).toHaveLength(10);
    await world.pass(1000);
    expect(sink.told().at(-1)).toBe('progress 10');
  });

  test('never runs ahead: not of events of the turn under way, nor of one that reads history', async () => {
    const world = new HubWorld({ watchProgressMs: 1000 });
    const live = world.watch();
    world.turn({ a: '1' }, { a: '2' });
    world.source.isHeld = true;
    const past = world.watch({ startRevision: 2 });
    world.source.write({ a: '3' });
    await world.pass(1100);
    expect(live.told()).toEqual(['1 put a=1', '2 put a=2', 'progress 2']);
    expect(past.told()).toEqual(['progress 1']);
  });

  test('is not told to a client that does not read', async () => {
    const world = new HubWorld({ watchProgressMs: 1000, watchBacklogBytesMax: 1000 });
    const sink = world.watch();
    sink.reads = false;
    for (let i = 0; i < 30; i += 1) world.turn({ a: 'x'.repeat(100) });
    const { waitingBytes } = sink;
    await world.pass(60_000);
    expect(sink.waitingBytes).toBe(waitingBytes);
  });
});

describe('when a snapshot takes the place of the state', () => {
  test('a live watch is told what lies between from the history of the new state', async () => {
    const world = new HubWorld();
    const sink = world.watch();
    world.turn({ a: '1' });
    world.install({ a: '2' }, { a: '3' });
    await world.settle();
    world.turn({ a: '4' });
    expect(sink.told()).toEqual(['1 put a=1', '2 put a=2', '3 put a=3', '4 put a=4']);
  });

  test('what was being read of the old state is dropped, and read of the new one', async () => {
    const world = new HubWorld();
    world.turn({ a: '1' }, { a: '2' });
    const old = world.source;
    old.isHeld = true;
    const sink = world.watch({ startRevision: 1 });
    await world.settle();
    world.install({ a: '3' });
    old.release();
    await world.settle();
    expect(sink.told()).toEqual(['1 put a=1', '2 put a=2', '3 put a=3']);
  });

  test('a watch that the new state has no history for ends with COMPACTED', async () => {
    const world = new HubWorld();
    const sink = world.watch();
    world.turn({ a: '1' });
    world.hub.pause();
    const next = world.source.copy();
    for (let i = 2; i < 10; i += 1) next.write({ a: String(i) });
    next.compactedRevision = 5;
    world.hub.follow(next);
    await world.settle();
    expect(sink.told()).toEqual(['1 put a=1', 'error COMPACTED']);
  });
});

describe('the bounds and the end', () => {
  test('one watch too many is refused as OVERLOADED', () => {
    const world = new HubWorld({ watchesMax: 2 });
    world.watch();
    world.watch();
    expect(codeOf(() => world.watch()).code).toBe('OVERLOADED');
  });

  test('every watch ends with the error of a replica that stops', async () => {
    const world = new HubWorld();
    world.turn({ a: '1' });
    const sinks = [world.watch(), world.watch({ startRevision: 1 })];
    world.hub.stop(new BalsaError('SHUTTING_DOWN', 'bye'));
    await world.settle();
    for (const sink of sinks) expect(sink.told()).toEqual(['error SHUTTING_DOWN']);
    expect(codeOf(() => world.watch()).code).toBe('SHUTTING_DOWN');
    expect(world.clock.timers).toBe(0);
  });
});
