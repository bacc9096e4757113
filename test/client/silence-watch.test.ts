import { expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.js';
import { SilenceWatch } from '../../src/client/silence-watch.js';

test('whatever fractions the clock has, it is not looked again and again at a moment that has come', () => {
  const random = seededRandom(7);
  for (let run = 0; run < 2000; run += 1) {
    const heardMs = (random.next() * 10 ** (run % 7)) / 3;
    let nowMs = heardMs;
    let planned = 0;
    let fire = (): void => {};
    let silent = 0;
    const watch = new SilenceWatch({
      clock: {
        monotonicMs: () => nowMs,
        wallMs: () => nowMs,
        defer: (callback) => callback(),
        setTimer: (_delayMs, callback) => {
          planned += 1;
          fire = callback;
          return { cancel: () => {} };
        },
      },
      link: () => ({ heardMs }),
      isWaiting: () => true,
      onSilent: () => {
        silent += 1;
      },
    });
    watch.asked(false);
    // Where it is due, to the last digit.
    nowMs = heardMs + 1000;
    fire();
    expect([planned, silent]).toEqual([1, 1]);
  }
});
