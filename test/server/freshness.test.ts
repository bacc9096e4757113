import { describe, expect, test } from 'vitest';
import { Freshness } from '../../src/server/freshness.js';

/** Thirty ticks of 25 ms: an election timeout of 750 ms. */
function setUp() {
  const time = { nowMs: 1000 };
  const clock = {
    monotonicMs: () => time.nowMs,
    wallMs: () => 0,
    setTimer: () => ({ cancel: () => {} }),
    defer: () => {},
  };
  const freshness = new Freshness({ clock, tickMs: 25, electionTicks: 30 });
  /** Answers how often a probe was wanted. */
  const ticks = (count: number): number => {
    let probes = 0;
    for (let i = 0; i < count; i += 1) {
      time.nowMs += 25;
      if (freshness.tick()) probes += 1;
    }
    return probes;
  };
  return { time, freshness, ticks };
}

describe('how old the state of a replica may be', () => {
  test('is not known before a read index was confirmed', () => {
    const { freshness, ticks } = setUp();
    ticks(10);
    expect(freshness.stalenessMs()).toBeNull();
  });

  test('counts from when the index was asked for, not from when it was confirmed', () => {
    const { time, freshness } = setUp();
    time.nowMs = 1090;
    freshness.confirmed(1000, 5, 5);
    expect(freshness.stalenessMs()).toBe(100);
  });

  test('is stated as if the clock ran too slow by a tenth', () => {
    const { time, freshness } = setUp();
    freshness.confirmed(1000, 5, 5);
    time.nowMs = 1900;
    expect(freshness.stalenessMs()).toBe(1000);
  });

  test('does not count a confirmed index before it is applied', () => {
    const { time, freshness } = setUp();
    freshness.confirmed(910, 4, 4);
    freshness.confirmed(990, 6, 4);
    freshness.applied(5);
    expect(freshness.stalenessMs()).toBe(100);
    freshness.applied(6);
    expect(freshness.stalenessMs()).toBe(12);
    time.nowMs += 78;
    expect(freshness.stalenessMs()).toBe(98);
  });

  test('is not made older by an answer that comes late', () => {
    const { freshness } = setUp();
    freshness.confirmed(991, 6, 6);
    freshness.confirmed(100, 5, 6);
    expect(freshness.stalenessMs()).toBe(10);
  });

  test('keeps few confirmations while apply stands still, and the newest among them', () => {
    const { time, freshness } = setUp();
    for (let i = 0; i < 1000; i += 1) {
      time.nowMs += 1;
      freshness.confirmed(time.nowMs, 10 + i, 9);
    }
    freshness.applied(10);
    expect(freshness.stalenessMs()).toBe(1110);
    freshness.applied(2000);
    expect(freshness.stalenessMs()).toBe(0);
  });
});

describe('how much there is', () => {
  test('is what was confirmed, whether it is applied or not', () => {
    const { freshness } = setUp();
    expect(freshness.confirmedIndex).toBeNull();
    freshness.confirmed(1000, 5, 1);
    expect(freshness.confirmedIndex).toBe(5);
    freshness.confirmed(990, 4, 4);
    expect(freshness.confirmedIndex).toBe(5);
  });

  test('is not known any more when there was no leader meanwhile', () => {
    const { time, freshness } = setUp();
    freshness.confirmed(1000, 5, 5);
    freshness.leaderLost();
    expect(freshness.confirmedIndex).toBeNull();
    freshness.confirmed(time.nowMs, 4, 5);
    expect(freshness.confirmedIndex).toBe(4);
  });

  test('is not known any more behind a long pause', () => {
    const { time, freshness } = setUp();
    freshness.confirmed(1000, 5, 5);
    while (time.nowMs < 8500) {
      time.nowMs += 100;
      freshness.tick();
    }
    expect(freshness.confirmedIndex).toBe(5);
    time.nowMs = 8501;
    expect(freshness.confirmedIndex).toBeNull();
    freshness.confirmed(8501, 9, 5);
    expect(freshness.confirmedIndex).toBe(9);
  });
});

test('how much there is, a process that stood still does not know, whoever asks first', () => {
  const { time, freshness } = setUp();
  freshness.tick();
  freshness.confirmed(1000, 5, 5);
  time.nowMs += 7000;
  expect(freshness.confirmedIndex).toBeNull();
  freshness.tick();
  expect(freshness.confirmedIndex).toBeNull();
  // It had been asked before.
  freshness.confirmed(1000, 6, 5);
  expect(freshness.confirmedIndex).toBe(6);
});

describe('the side of a partition that a replica is on', () => {
  test('is not known at the start, and isolated when nobody answers for an election timeout', () => {
    const { freshness, ticks } = setUp();
    ticks(30);
    expect(freshness.facts().side).toBe('unknown');
    ticks(1);
    expect(freshness.facts().side).toBe('isolated');
  });

  test('is the majority for an election timeout from when a confirmed index was asked for', () => {
    const { time, freshness } = setUp();
    freshness.confirmed(1000, 5, 5);
    time.nowMs = 1750;
    expect(freshness.facts().side).toBe('majority');
    time.nowMs = 1751;
    expect(freshness.facts().side).toBe('unknown');
  });

  test('is the majority although the confirmed index is not applied', () => {
    const { freshness } = setUp();
    freshness.confirmed(1000, 5, 4);
    expect(freshness.facts()).toEqual({ stalenessMs: null, side: 'majority' });
  });

  test('is not known behind a pause in which nobody was asked', () => {
    const { time, freshness, ticks } = setUp();
    ticks(4);
    freshness.confirmed(time.nowMs, 5, 5);
    time.nowMs += 60_000;
    ticks(2);
    expect(freshness.facts().side).toBe('unknown');
  });
});

describe('probes', () => {
  test('are three in an election timeout, one at a time', () => {
    const { time, freshness, ticks } = setUp();
    expect(ticks(1)).toBe(1);
    // The first has no answer.
    expect(ticks(100)).toBe(0);
    freshness.probeFailed();
    expect(ticks(1)).toBe(1);
    freshness.confirmed(time.nowMs, 5, 5);
    let probes = 0;
    for (let i = 0; i < 90; i += 1) {
      const wanted = ticks(1);
      probes += wanted;
      if (wanted > 0) freshness.confirmed(time.nowMs, 5, 5);
    }
    expect(probes).toBe(9);
  });

  test('are not needed while reads are confirmed', () => {
    const { time, freshness, ticks } = setUp();
    let probes = 0;
    for (let i = 0; i < 100; i += 1) {
      freshness.confirmed(time.nowMs, 5, 5);
      probes += ticks(9);
    }
    expect(probes).toBe(0);
  });
});
