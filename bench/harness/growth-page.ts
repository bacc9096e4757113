import { htmlDocument, table } from './document.js';
import { type Line, plot, safe } from './plot.js';
import type { Row } from './rows.js';

/** What `bench:growth` has seen of one store with so many keys. */
export interface GrowthRow extends Row {
  readonly store: string;
  readonly members: number;
  readonly keys: number;
}

/** Memory and disk over the keys, and puts per second over the members where there are several numbers of them. */
export function growthPage(rows: readonly GrowthRow[]): string {
  const plots = [
    overKeys(rows, 'resident MiB'),
    overKeys(rows, 'resident bytes per key'),
    overKeys(rows, 'disk MiB'),
    overKeys(rows, 'disk bytes per key'),
    overKeys(rows, 'write amplification'),
    ...(new Set(rows.map(({ members }) => members)).size > 1 ? [overMembers(rows)] : []),
  ];
  const body = `<h1>Memory and disk of a store that grows</h1>
<p>${safe(new Set(rows.map(({ store }) => store)).size > 1 ? 'Of the largest member of each store.' : 'Of the largest member.')} The ticks are the keys that were looked at, and not to scale.</p>
<div class="plots">${plots.join('')}</div><div class="wide">${table(rows)}</div>`;
  return htmlDocument('Balsa: growth', body);
}

function overKeys(rows: readonly GrowthRow[], figure: string): string {
  return drawn(rows, {
    label: `${figure}, by keys`,
    ...{ figure, tick: 'keys' },
    lineOf: ({ store, members }) => `${store}, ${members} members`,
  });
}

function overMembers(rows: readonly GrowthRow[]): string {
  return drawn(rows, {
    label: 'keys put per second, by members',
    ...{ figure: 'keys put per second', tick: 'members' },
    lineOf: ({ store, keys }) => `${store}, ${keys}`,
  });
}

function drawn(
  rows: readonly GrowthRow[],
  what: {
    readonly label: string;
    readonly figure: string;
    readonly tick: 'keys' | 'members';
    readonly lineOf: (row: GrowthRow) => string;
  },
): string {
  const ticks = [...new Set(rows.map((row) => row[what.tick]))].sort((a, b) => a - b);
  const lines = [...new Set(rows.map(what.lineOf))].map((name): Line => {
    const own = rows.filter((row) => what.lineOf(row) === name);
    const values = ticks.map((tick) =>
      Number(own.find((row) => row[what.tick] === tick)?.[what.figure] ?? Number.NaN),
    );
    return { name, values };
  });
  return plot(what.label, lines, ticks.map(String));
}
