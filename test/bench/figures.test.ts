import { describe, expect, test } from 'vitest';
import { medianAndRange, ratioInWords } from '../../bench/harness/figures.js';
import { Progress } from '../../bench/harness/progress.js';
import { pairedRatio } from '../../bench/harness/rounds.js';

describe('figures of rounds', () => {
  test('are their median and their range, and not their mean', () => {
    expect(medianAndRange('per second', [100.4, 1000, 90])).toEqual({
      ...{ 'per second': 100, 'per second: from - to': '90 - 1000' },
    });
    expect(medianAndRange('s', [1.26, 1.5], 1)).toEqual({ s: 1.4, 's: from - to': '1.3 - 1.5' });
  });

  test('are compared pair by pair: a machine that gets slower changes no ratio', () => {
    const without = [1000, 500, 250];
    const beside = [900, 450, 225];

    expect(pairedRatio(beside, without)).toEqual({ median: 0.9, min: 0.9, max: 0.9 });
    expect(ratioInWords([900, 400, 250], without)).toBe('0.90 (0.80 - 1.00)');
  });
});

describe('progress', () => {
  function progressOf(unitMs?: number) {
    const lines: string[] = [];
    let nowMs = 1000;
    const progress = new Progress({
      ...{ total: 10, isShown: true, nowMs: () => nowMs, show: (line) => lines.push(line) },
      ...(unitMs === undefined ? {} : { unitMs }),
    });
    const wait = (ms: number): void => {
      nowMs += ms;
    };
    return { progress, wait, lines };
  }

  test('says how long the rest takes, by what is done', () => {
    const { progress, wait, lines } = progressOf();
    progress.at(0, 'filling');
    wait(30_000);
    progress.at(2);
    wait(15_000);
    progress.at(4, 'reading');
    progress.end();

    expect(lines).toEqual([
      'filling: 0 %',
      'filling: 20 %, 2 min left',
      'reading: 40 %, 68 s left',
      '',
    ]);
  });

  test('says it from the begin where a unit is a time', () => {
    const { progress, lines } = progressOf(4000);
    progress.at(0, 'warming');
    progress.end();

    expect(lines).toEqual(['warming: 0 %, 40 s left', '']);
  });

  test('is not drawn for every call, and not at all where nobody looks', () => {
    const { progress, wait, lines } = progressOf();
    for (let i = 1; i <= 10; i += 1) {
      wait(50);
      progress.at(i, 'filling');
    }
    progress.end();
    expect(lines).toEqual([
      'filling: 10 %, soon done',
      'filling: 50 %, soon done',
      'filling: 90 %, soon done',
      '',
    ]);

    const shown: string[] = [];
    const unseen = new Progress({ total: 1, isShown: false, show: (line) => shown.push(line) });
    unseen.at(1, 'filling');
    unseen.end();
    expect(shown).toEqual([]);
  });
});
