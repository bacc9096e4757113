import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { below, parseProcess } from '../../bench/harness/interrupt.js';

test('what an interrupted benchmark kills are the processes below it, and no others', () => {
  const all = [
    parseProcess(1, '1 (init) S 0 1 1 0'),
    parseProcess(10, '10 (node) R 1 10 10 0'),
    parseProcess(11, '11 (n1) S 2) S 10 11 11 0'),
    parseProcess(12, '12 (sh) S 10 12 12 0'),
    parseProcess(13, '13 (task) Z 12 12 12 0'),
    parseProcess(14, '14 (node) S 1 14 14 0'),
    parseProcess(110, '110 (n1) S 14 14 14 0'),
  ];

  expect(below(10, all).map(({ pid, state }) => `${pid} ${state}`)).toEqual([
    ...['11 S', '12 S', '13 Z'],
  ]);
  expect(below(110, all)).toEqual([]);
});

test('each benchmark sees to it that nothing of it is left, before it starts anything', () => {
  const folder = join(import.meta.dirname, '../../bench');
  const texts = readdirSync(folder)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') }))
    .filter(({ text }) => text.includes('= benchFlags('));
  const careless = texts.filter(
    ({ text }) =>
      !/^const flags = benchFlags\((?:.|\n(?!\}))*?\n?\}\);\nleaveNothingBehind\(\);\n/m.test(text),
  );

  expect(texts.length).toBeGreaterThan(15);
  expect(careless.map(({ name }) => name)).toEqual([]);
});
