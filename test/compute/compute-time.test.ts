import { existsSync, readFileSync } from 'node:fs';
import { beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { ComputeTime, runDelayMs } from '../../src/compute/sandbox/compute-time.js';
import { failureOf, oneProcedure, Sandbox } from './calls.js';
import { HandClock } from './hand-clock.js';
import { MemorySource } from './memory-source.js';

const LIMIT = { computeMsMax: 100 };
const TOO_LONG = /^PROCEDURE_LIMIT .*computeMsMax/;

let clock: HandClock;
/** For which the thread has waited for a processor, ever. */
let delayMs: number;
/** How often that was asked for. */
let asked: number;
let time: ComputeTime;

beforeEach(() => {
  clock = new HandClock();
  delayMs = 7;
  asked = 0;
  time = new ComputeTime(clock, () => {
    asked += 1;
    return delayMs;
  });
});

/** As a thread that computes, and waits for a processor meanwhile. */
function pass(ms: number, waitedMs = 0): void {
  clock.nowMs += ms + waitedMs;
  delayMs += waitedMs;
}

test('there is no limit before it is started', () => {
  pass(1e9);
  expect(time.isOver()).toBe(false);
});

test('who has computed for as long as the limit has no time left, and gets none by waiting', () => {
  time.start(LIMIT);
  pass(99);
  expect(time.isOver()).toBe(false);
  pass(1);
  expect(time.isOver()).toBe(true);

  pass(0, 500);
  expect(time.isOver()).toBe(true);
  time.start(LIMIT);
  expect(time.isOver()).toBe(false);
});

test('waiting for a processor does not count, however often', () => {
  time.start(LIMIT);
  pass(40, 300);
  expect(time.isOver()).toBe(false);
  pass(40, 300);
  expect(time.isOver()).toBe(false);
  pass(19.5);
  expect(time.isOver()).toBe(false);
  pass(0.5);
  expect(time.isOver()).toBe(true);
});

test('but a second and a half of it at most: before long the thread would be ended', () => {
  time.start(LIMIT);
  pass(99, 1400);
  expect(time.isOver()).toBe(false);
  pass(0, 100);
  expect(time.isOver()).toBe(false);
  pass(0, 1);
  expect(time.isOver()).toBe(true);
  time.start(LIMIT);
  pass(99, 1400);
  expect(time.isOver()).toBe(false);
});

test('what was waited for before the call is nothing to it', () => {
  time.start(LIMIT);
  pass(11, 10_000);
  time.start(LIMIT);
  pass(100);
  expect(time.isOver()).toBe(true);
});

test('short calls, one behind the other, seldom ask the system', () => {
  for (let i = 0; i < 1000; i += 1) {
    time.start(LIMIT);
    pass(0.1);
    expect(time.isOver()).toBe(false);
  }
  expect(asked).toBeLessThanOrEqual(10);
});

test('waiting for the store does not count, and who has no time left is not answered', () => {
  const stored = new MemorySource();
  const slow = {
    get(key: Uint8Array) {
      pass(5000);
      return stored.get(key);
    },
    scan: () => ({ items: [], more: false }),
    cell: () => null,
  };
  const source = time.without(slow, LIMIT);
  const key = Buffer.from('k');
  time.start(LIMIT);
  pass(99);
  source.get(key);
  expect(time.isOver()).toBe(false);
  source.get(key);
  pass(1);

  expect(() => source.get(key)).toThrow(expect.objectContaining({ code: 'PROCEDURE_LIMIT' }));
  expect(stored.gets).toBe(2);
});

test('who waits for a processor while it waits for the store is not given that time twice', () => {
  const slow = {
    get() {
      pass(0, 50);
      return null;
    },
    scan: () => ({ items: [], more: false }),
    cell: () => null,
  };
  const source = time.without(slow, LIMIT);
  time.start(LIMIT);
  for (let i = 0; i < 10; i += 1) source.get(Buffer.from('k'));
  pass(99);
  expect(time.isOver()).toBe(false);
  pass(1);
  expect(time.isOver()).toBe(true);

  time.start(LIMIT);
  source.get(Buffer.from('k'));
  pass(99, 60);
  expect(time.isOver()).toBe(false);
  pass(1);
  expect(time.isOver()).toBe(true);
});

test('a call that shares its processor with others is not refused for that; an endless one is', async () => {
  const source = new MemorySource();
  const running = async (body: string): Promise<string> => {
    let nowMs = 0;
    // At each look a millisecond has passed, for nineteen twentieths of which others have computed.
    const shared = { ...systemClock, monotonicMs: () => (nowMs += 1) };
    const sandbox = await Sandbox.with(oneProcedure(body), {}, shared, () => nowMs * 0.95);
    const execution = sandbox.call({ source });
    return execution.ok ? execution.result : failureOf(execution);
  };

  expect(await running('let n = 0; while (n < 3e6) n += 1; return n;')).toBe('3000000');
  expect(await running('for (;;) {}')).toMatch(TOO_LONG);
});

const schedstat = '/proc/thread-self/schedstat';

test.runIf(existsSync(schedstat))('a thread is told how long it has waited so far', () => {
  const waitedMs = () => {
    const [, delay] = /^\d+ (\d+) \d+\n$/.exec(readFileSync(schedstat, 'latin1')) ?? [];
    return Number(delay) / 1e6;
  };
  const beforeMs = waitedMs();
  const ownMs = runDelayMs();

  expect(ownMs).toBeGreaterThanOrEqual(beforeMs);
  expect(ownMs).toBeLessThanOrEqual(waitedMs());
  expect(ownMs).toBeGreaterThan(0);
});
