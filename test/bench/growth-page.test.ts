import { expect, test } from 'vitest';
import { type GrowthRow, growthPage } from '../../bench/harness/growth-page.js';

function row(store: string, members: number, keys: number): GrowthRow {
  return {
    ...{ store, members, keys, 'keys put per second': 1000 / members, 'resident MiB': keys / 100 },
    ...{ 'disk MiB': keys / 10, 'disk bytes per key': 9, 'resident bytes per key': 8 },
    'write amplification': members,
  };
}

const labels = (page: string): string[] =>
  [...page.matchAll(/aria-label="([^"]+)"/g)].map(([, label = '']) => label);

test('the page of a store that grows draws memory and disk over the keys', () => {
  const page = growthPage([row('a', 3, 1000), row('a', 3, 100), row('<b>', 3, 1000)]);

  expect(labels(page)).toEqual([
    ...['resident MiB, by keys', 'resident bytes per key, by keys'],
    ...['disk MiB, by keys', 'disk bytes per key, by keys', 'write amplification, by keys'],
  ]);
  // From the fewest keys to the most, whatever the order of the rows; where a store has no figure there is no point.
  expect(page).toContain('<path d="M64.0 194.8L500.0 40.0" stroke="#1a7f4b"/>');
  expect(page).toContain('<path d="M500.0 40.0" stroke="#2458a6"/>');
  expect(page).toContain('&lt;b>, 3 members</text>');
  expect(page).not.toContain('<b>');
});

test('puts per second are drawn over the members where there are several numbers of them', () => {
  const page = growthPage([row('a', 1, 100), row('a', 5, 100), row('a', 3, 100)]);

  expect(labels(page).at(-1)).toBe('keys put per second, by members');
  const last = page.slice(page.lastIndexOf('<svg'), page.lastIndexOf('</svg>'));
  expect([...last.matchAll(/y="232">([^<]+)</g)].map(([, tick]) => tick)).toEqual(['1', '3', '5']);
  expect(last).toContain('a, 100</text>');
});
