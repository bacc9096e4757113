import { describe, expect, test } from 'vitest';
import { DueWindows } from '../../bench/due-windows.js';
import { type EndedCall, type LoopClock, openLoop } from '../../src/cli/bench/open-loop.js';

/** Moves when the loop pauses, or when it is told to. */
class FakeClock implements LoopClock {
  #nowMs = 5000;
  #waiting: { readonly untilMs: number; readonly go: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  async turn(): Promise<void> {
    // Promises that are settled run on.
    for (let i = 0; i < 10; i += 1) await Promise.resolve();
  }

  async pause(ms: number): Promise<void> {
    await this.turn();
    this.moveBy(ms);
    await this.turn();
  }

  moveBy(ms: number): void {
    this.#nowMs += ms;
    const over = this.#waiting.filter(({ untilMs }) => untilMs <= this.#nowMs);
    this.#waiting = this.#waiting.filter((one) => !over.includes(one));
    for (const { go } of over) go();
  }

  until(atMs: number): Promise<void> {
    if (atMs <= this.#nowMs) return Promise.resolve();
    return new Promise((go) => this.#waiting.push({ untilMs: atMs, go }));
  }
}

async function run(clock: FakeClock, call: (number: number) => Promise<unknown>) {
  const ended: EndedCall[] = [];
  let number = -1;
  const { calls, startedMs } = await openLoop(
    {
      ...{ seconds: 1, perSecond: 200 },
      call: () => {
        number += 1;
        return call(number);
      },
      onEnd: (one) => ended.push(one),
    },
    clock,
  );
  return { calls, startedMs, ended };
}

const ownTime = ({ dueMs, endedMs }: EndedCall): number => endedMs - dueMs;

describe('an open loop', () => {
  test('begins each call when it is due, and none behind the time', async () => {
    const { calls, startedMs, ended } = await run(new FakeClock(), async () => {});

    expect(calls).toBe(200);
    expect(ended.map(({ number }) => number)).toEqual(Array.from({ length: 200 }, (_, i) => i));
    expect(ended.map(({ dueMs }) => dueMs - startedMs)).toEqual(ended.map((_, i) => i * 5));
    expect(ended.every(({ begunMs, dueMs }) => begunMs === dueMs)).toBe(true);
  });

  test('where the client stands still past the end, begins all that were due, and their time runs since then', async () => {
    const clock = new FakeClock();
    const { ended } = await run(clock, async (number) => {
      if (number === 100) clock.moveBy(2000);
    });

    expect(ended).toHaveLength(200);
    expect(ended.filter((one) => ownTime(one) > 0)).toHaveLength(100);
    expect(ownTime(ended[100] as EndedCall)).toBe(2000);
    // The loop comes to look at the clock again a pause later.
    expect(ownTime(ended[199] as EndedCall)).toBe(2001 - 99 * 5);
    expect(ended[199]?.begunMs).toBe(5000 + 500 + 2001);
  });

  test('where the server stands still, goes on to begin, and waits for the last answer', async () => {
    const clock = new FakeClock();
    const answers = clock.until(5000 + 1500);
    const done = run(clock, (number) => (number < 80 ? Promise.resolve() : answers));
    while (clock.nowMs() < 5000 + 1500) await clock.pause(0.5);
    const { ended } = await done;

    expect(ended).toHaveLength(200);
    expect(Math.max(...ended.map(ownTime))).toBe(1500 - 400);
    // Each of those that were due meanwhile is late by what was left of it.
    expect(ownTime(ended[199] as EndedCall)).toBe(1500 - 995);
  });

  test('tells of calls that fail what they failed with', async () => {
    const cause = new Error('full');
    const { ended } = await run(new FakeClock(), async (number) => {
      if (number % 10 === 3) throw cause;
    });

    expect(ended.filter(({ failure }) => failure?.cause === cause)).toHaveLength(20);
    expect(ended.filter(({ failure }) => failure === null)).toHaveLength(180);
  });
});

describe('an open loop that is bounded', () => {
  test('leaves out what is due while too many are on their way, and says so', async () => {
    const clock = new FakeClock();
    const answers = clock.until(5000 + 500);
    const leftOut: number[] = [];
    const ended: number[] = [];
    const done = openLoop(
      {
        ...{ seconds: 1, perSecond: 200, outstandingMax: 10, call: () => answers },
        onEnd: ({ number }) => ended.push(number),
        onLeftOut: ({ number }) => leftOut.push(number),
      },
      clock,
    );
    while (clock.nowMs() < 5000 + 500) await clock.pause(0.5);
    const { calls } = await done;

    expect(calls).toBe(200);
    expect(ended.slice(0, 10)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(leftOut[0]).toBe(10);
    expect(leftOut.at(-1)).toBe(99);
    expect([...ended, ...leftOut].toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 200 }, (_, i) => i),
    );
  });

  test('begins none behind an interruption, and waits for those that are on their way', async () => {
    const clock = new FakeClock();
    const interrupt = new AbortController();
    const ended: number[] = [];
    await openLoop(
      {
        ...{ seconds: 1, perSecond: 200, signal: interrupt.signal },
        call: async () => {
          if (clock.nowMs() >= 5000 + 100) interrupt.abort();
        },
        onEnd: ({ number }) => ended.push(number),
      },
      clock,
    );

    expect(ended).toEqual(Array.from({ length: 21 }, (_, i) => i));
  });
});

describe('windows of an open loop', () => {
  function windows() {
    const said: string[] = [];
    const due = new DueWindows<number[]>({
      callsPerWindow: 2.5,
      nothing: () => [],
      onOver: ({ index }) => said.push(`${index} over`),
      onWhole: ({ index, seen }) => said.push(`${index} whole: ${seen.join(' ')}`),
    });
    const end = (...numbers: number[]): void => {
      for (const number of numbers) {
        due.seenBy(number).push(number);
        due.ended(number);
      }
    };
    return { due, end, said };
  }

  test('hold the calls that were due in them, though they end when others have begun', () => {
    const { due, end, said } = windows();

    for (const number of [0, 1, 2, 3, 4]) due.begin(number);
    expect(said).toEqual(['0 over']);
    end(4, 1);
    for (const number of [5, 6]) due.begin(number);
    end(0, 3);
    expect(said).toEqual(['0 over', '1 over']);
    end(2);
    expect(said).toEqual(['0 over', '1 over', '0 whole: 1 0 2', '1 whole: 4 3']);
    end(5, 6);
    due.over();
    expect(said.slice(4)).toEqual(['2 over', '2 whole: 5 6']);
  });

  test('do not take the end of a call for that of one that never began', () => {
    const { due } = windows();
    due.begin(0);

    expect(() => due.ended(7)).toThrow('nothing of window 2 is under way');
  });
});
