import { describe, expect, test } from 'vitest';
import type { Clock } from '../../src/base/clock.js';
import { LogClock } from '../../src/server/log-clock.js';

/** A machine's clock that is set by hand. */
class HandClock implements Clock {
  monotonic = 5000;
  wall = 1_700_000_000_000;
  monotonicMs = (): number => this.monotonic;
  wallMs = (): number => this.wall;
  setTimer = (): never => {
    throw new Error('the log clock needs no timers');
  };
  defer = (): never => {
    throw new Error('the log clock needs no timers');
  };
}

function leading(logTimeMs: number): { clock: HandClock; log: LogClock } {
  const clock = new HandClock();
  const log = new LogClock(clock);
  log.lead(logTimeMs);
  return { clock, log };
}

const YEARS = 10 * 365 * 24 * 3_600_000;

describe('log time of a leader', () => {
  test('begins at the time of day when the log has none, but not before that is known', () => {
    const { clock, log } = leading(0);
    expect(log.nowMs).toBeNull();
    log.settled();
    expect(log.nowMs).toBe(1_700_000_000_000);
    clock.monotonic += 10.7;
    expect(log.nowMs).toBe(1_700_000_000_010);
  });

  test('goes on from the log, whatever the wall clock says', () => {
    const { clock, log } = leading(1_000_000);
    clock.wall += YEARS;
    log.settled();
    expect(log.nowMs).toBe(1_000_000);
    clock.monotonic += 250;
    clock.wall -= 2 * YEARS;
    expect(log.nowMs).toBe(1_000_250);
  });

  test('a log that turns out to have a time keeps the wall clock out', () => {
    const { clock, log } = leading(0);
    clock.wall += YEARS;
    log.applied(2_000_000);
    log.settled();
    clock.monotonic += 5;
    expect(log.nowMs).toBe(2_000_005);
  });

  test('follows a higher time that is applied later, and no lower one', () => {
    const { clock, log } = leading(1000);
    log.applied(3000);
    clock.monotonic += 100;
    log.applied(2000);
    log.applied(3050);
    expect(log.nowMs).toBe(3100);
  });

  test('stands still while another member leads, and does not make up for it', () => {
    const { clock, log } = leading(1000);
    clock.monotonic += 50;
    log.follow();
    clock.monotonic += 60_000;
    expect(log.nowMs).toBe(1050);
    log.applied(1200);
    clock.monotonic += 60_000;
    expect(log.nowMs).toBe(1200);
    log.lead(1200);
    clock.monotonic += 7;
    expect(log.nowMs).toBe(1207);
  });

  test('never advances further than the true time, whoever leads', () => {
    // Given: a knows of a high time, stamped by itself and applied by nobody else.
    const clock = new HandClock();
    const [a, b] = [new LogClock(clock), new LogClock(clock)];
    a.lead(1000);
    clock.monotonic += 500;
    expect(a.nowMs).toBe(1500);
    // When: b leads without having heard of it, and stamps a command; then a leads again.
    a.follow();
    b.lead(1000);
    clock.monotonic += 20;
    const stamped = b.nowMs ?? 0;
    a.lead(stamped);
    clock.monotonic += 30;
    // Then: no more than those 30 ms have passed since.
    expect((a.nowMs ?? 0) - stamped).toBe(30);
  });
});
