import { describe, expect, test } from 'vitest';
import { Ticker } from '../../src/server/ticker.js';
import { Scheduler } from './test-scheduler.js';

/** A process that may stand still: its timers are late, and messages wait. */
function standing() {
  const scheduler = new Scheduler(1);
  const running = scheduler.clock(() => true);
  let stoodMs = 0;
  const clock = { ...running, monotonicMs: () => running.monotonicMs() + stoodMs };
  const stand = (ms: number): void => {
    stoodMs += ms;
  };
  return { scheduler, clock, stand };
}

describe('the ticker', () => {
  test('ticks once per interval', async () => {
    const scheduler = new Scheduler(1);
    let ticks = 0;
    new Ticker(
      scheduler.clock(() => true),
      25,
      () => {
        ticks += 1;
      },
    ).start();
    await scheduler.run(1000);
    expect(ticks).toBe(40);
  });

  test('a rounding error in the clock does not make it spin', async () => {
    const scheduler = new Scheduler(1);
    await scheduler.run(0.1 + 0.2);
    let ticks = 0;
    new Ticker(
      scheduler.clock(() => true),
      25,
      () => {
        ticks += 1;
      },
    ).start();
    await scheduler.run(1000.4);
    expect(ticks).toBe(40);
    expect(scheduler.events).toBeLessThan(50);
  });

  test('after a pause the network is drained before the ticks, and few ticks are made up for', async () => {
    const { scheduler, clock, stand } = standing();
    const told: string[] = [];
    new Ticker(clock, 25, () => told.push('tick')).start();
    await scheduler.run(24);
    stand(10_000);
    scheduler.planAt(25, () => clock.defer(() => told.push('message')));
    await scheduler.run(26);
    expect(told).toEqual(['message', 'tick', 'tick']);
  });

  test('a ticker that one of its ticks stops ticks no more', async () => {
    const scheduler = new Scheduler(1);
    let ticks = 0;
    const ticker: Ticker = new Ticker(
      scheduler.clock(() => true),
      25,
      () => {
        ticks += 1;
        if (ticks === 2) ticker.stop();
      },
    );
    ticker.start();
    await scheduler.run(1000);
    expect(ticks).toBe(2);
  });

  test('a stopped ticker ticks no more', async () => {
    const scheduler = new Scheduler(1);
    let ticks = 0;
    const ticker = new Ticker(
      scheduler.clock(() => true),
      25,
      () => {
        ticks += 1;
      },
    );
    ticker.start();
    await scheduler.run(60);
    ticker.stop();
    await scheduler.run(1000);
    expect(ticks).toBe(2);
  });
});

describe('a ticker of a process that is woken in each tick anyway', () => {
  /** Ticks of 25 ms, and when they were. */
  function ticking(scheduler: Scheduler) {
    const clock = scheduler.clock(() => true);
    const atMs: number[] = [];
    const onTick = (): void => void atMs.push(clock.monotonicMs());
    const ticker = new Ticker(clock, 25, onTick);
    ticker.start();
    const woken = (): void => {
      for (let due = ticker.woken(); due > 0; due -= 1) onTick();
    };
    const wake = (): void => {
      ticker.leaderHeard();
      woken();
    };
    return { ticker, atMs, woken, wake };
  }

  test('counts what is due then, and its timer fires in every third tick', async () => {
    const scheduler = new Scheduler(1);
    const { atMs, wake } = ticking(scheduler);
    for (let ms = 10; ms < 250; ms += 25) scheduler.planAt(ms, () => wake());
    await scheduler.run(249);
    expect(atMs).toEqual([25, 60, 85, 100, 135, 160, 175, 210, 235]);
  });

  test('is on time where it was not a leader that has woken it', async () => {
    const scheduler = new Scheduler(1);
    const { atMs, woken } = ticking(scheduler);
    for (let ms = 10; ms < 100; ms += 10) scheduler.planAt(ms, woken);
    await scheduler.run(101);
    expect(atMs).toEqual([25, 50, 75, 100]);
  });

  test('never counts what is not due, however often it is woken', async () => {
    const scheduler = new Scheduler(1);
    const { atMs, wake } = ticking(scheduler);
    for (let ms = 1; ms <= 1000; ms += 1) scheduler.planAt(ms, () => wake());
    await scheduler.run(1000);
    expect(atMs).toHaveLength(40);
  });

  test('makes up for what was due when it is woken no more, and is on time from then on', async () => {
    const scheduler = new Scheduler(1);
    const { atMs, wake } = ticking(scheduler);
    scheduler.planAt(10, () => wake());
    scheduler.planAt(20, () => wake());
    await scheduler.run(150);
    expect(atMs).toEqual([25, 100, 100, 100, 125, 150]);
  });

  test('does not wait for three more ticks behind three in which nothing was heard', async () => {
    const scheduler = new Scheduler(1);
    const { atMs, wake } = ticking(scheduler);
    for (const ms of [10, 20, 30]) scheduler.planAt(ms, () => wake());
    await scheduler.run(150);
    expect(atMs).toEqual([25, 100, 100, 100, 125, 150]);
  });

  test('counts what is due before it hears that the connection to the leader broke, and not at once behind that', async () => {
    const scheduler = new Scheduler(1);
    const { ticker, atMs, woken, wake } = ticking(scheduler);
    scheduler.planAt(10, () => wake());
    scheduler.planAt(60, () => {
      woken();
      atMs.push(Number.NaN);
      ticker.alone();
    });
    await scheduler.run(101);
    expect(atMs).toEqual([25, 60, Number.NaN, 75, 100]);
  });

  test('is on time at once when it is told that nobody wakes it any more', async () => {
    const scheduler = new Scheduler(1);
    const { ticker, atMs, wake } = ticking(scheduler);
    scheduler.planAt(10, () => wake());
    scheduler.planAt(30, () => ticker.alone());
    await scheduler.run(101);
    expect(atMs).toEqual([25, 50, 75, 100]);
    expect(scheduler.events).toBeLessThan(10);
  });

  test('may be told so while it waits for the network', async () => {
    const scheduler = new Scheduler(1);
    const { ticker, atMs, wake } = ticking(scheduler);
    scheduler.planAt(10, () => wake());
    scheduler.planAt(100, () => ticker.alone());
    await scheduler.run(200);
    // As behind a pause: one of the three that were due is not made up for, and none is counted twice.
    expect(atMs).toEqual([25, 100, 100, 125, 150, 175, 200]);
  });

  test('does not count the ticks of a pause that was longer than its timer waits', async () => {
    const { scheduler, clock, stand } = standing();
    let ticks = 0;
    const ticker = new Ticker(clock, 25, () => {
      ticks += 1;
    });
    ticker.start();
    scheduler.planAt(10, () => {
      ticker.leaderHeard();
      ticker.woken();
    });
    await scheduler.run(99);
    expect(ticks).toBe(1);
    stand(10_000);
    await scheduler.run(101);
    expect(ticks).toBe(3);
    await scheduler.run(151);
    expect(ticks).toBe(5);
  });

  test('leaves it to its timer to drain the network behind a pause', async () => {
    const { scheduler, clock, stand } = standing();
    const told: string[] = [];
    const ticker = new Ticker(clock, 25, () => told.push('tick'));
    ticker.start();
    await scheduler.run(24);
    stand(10_000);
    ticker.leaderHeard();
    expect(ticker.woken()).toBe(0);
    await scheduler.run(26);
    expect(told).toEqual(['tick', 'tick']);
  });

  test('is not begun again when it was stopped', async () => {
    const scheduler = new Scheduler(1);
    const { ticker, atMs, wake } = ticking(scheduler);
    scheduler.planAt(60, () => {
      ticker.stop();
      wake();
    });
    await scheduler.run(1000);
    expect(atMs).toEqual([25, 50]);
  });
});
