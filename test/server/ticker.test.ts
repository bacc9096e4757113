import { describe, expect, test } from 'vitest';
import { Ticker } from '../../src/server/ticker.js';
import { Scheduler } from './test-scheduler.js';

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
    const scheduler = new Scheduler(1);
    const clock = scheduler.clock(() => true);
    // The process stands still for ten seconds: its timer is late, and messages wait.
    let pausedMs = 0;
    const told: string[] = [];
    const late = {
      ...clock,
      monotonicMs: () => clock.monotonicMs() + pausedMs,
      setTimer: (delayMs: number, callback: () => void) => clock.setTimer(delayMs, callback),
    };
    new Ticker(late, 25, () => told.push('tick')).start();
    await scheduler.run(24);
    pausedMs = 10_000;
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
