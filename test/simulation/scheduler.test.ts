import { describe, expect, test } from 'vitest';
import { KIND, Scheduler } from './scheduler.js';

const EVENTS_MAX = 5000;
const TIMER = { kind: KIND.timer, subject: 4 };

/** What a run says in which this happens again and again, with pauses of so long. */
async function violationWith(pauseMs: number): Promise<string | null> {
  const scheduler = new Scheduler(1, EVENTS_MAX);
  function lookAgain(): void {
    scheduler.plan(pauseMs, lookAgain, TIMER);
  }
  scheduler.plan(7, lookAgain, TIMER);
  try {
    await scheduler.run(20);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

describe('time that does not go on ends a run, which names what happens and who plans it', () => {
  test.each([0, 1e-7])('with pauses of %f ms', async (pauseMs) => {
    const violation = await violationWith(pauseMs);
    expect(violation).toMatch(/^Standstill: 5000 events within 1 ms at 7\.000 ms/);
    expect(violation).toMatch(/of late \d+ times timer of place 4;/);
    expect(violation).toMatch('lookAgain');
  });

  test('but not many events in many milliseconds', async () => {
    expect(await violationWith(0.001)).toBeNull();
  });
});
