import type { Availability } from '../run/observer.js';
import { getOrMake } from '../run/observer.js';
import type { Matrix } from './summary.js';

/** The columns, in the order of what they promise, and which checkers hold that against the histories. */
export const CLASSES = [
  { name: 'put', title: '`put` `delete`', checked: 'register, strict, set' },
  { name: 'txn', title: '`cas` `txn`', checked: 'register, strict, append, write-skew' },
  { name: 'call cp', title: '`call` of `cp`', checked: 'bank, queue, counter, exactly-once' },
  { name: 'lock', title: '`lock`', checked: 'lock' },
  { name: 'lease', title: '`lease`', checked: 'lease' },
  { name: 'get linearizable', title: '`get` linearizable', checked: 'register, strict' },
  { name: 'get session', title: 'session', checked: 'read-levels' },
  { name: 'get bounded', title: 'bounded', checked: 'read-levels' },
  { name: 'get at', title: 'at', checked: 'read-levels' },
  { name: 'get any', title: 'any', checked: 'read-levels' },
  { name: 'call ap', title: '`call` of `ap`', checked: 'ap' },
  { name: 'call ap read', title: 'reads of cells, ap-local', checked: 'ap' },
] as const;

/** Fewer operations than that say nothing. */
const COUNT_MIN = 3;
const SERVED_MIN = 0.99;
const REFUSED_MAX = 0.01;

/** What a cell says. */
export const LEGEND =
  `*served*: at least ${SERVED_MIN * 100} of 100 operations; a code alone: at most ${REFUSED_MAX * 100} of 100 was served; ` +
  `-: fewer than ${COUNT_MIN} operations fell into that time.`;

export interface MatrixRow {
  readonly situation: string;
  /** By class; `null`: not asked often enough. */
  readonly cells: readonly (string | null)[];
}

export function matrixRows(matrix: Matrix): MatrixRow[] {
  return Object.entries(matrix)
    .sort(([a], [b]) => (a === 'none' ? -1 : b === 'none' ? 1 : a < b ? -1 : 1))
    .map(([situation, classes]) => ({
      situation,
      cells: CLASSES.map(({ name }) => cellText(classes[name])),
    }))
    .filter(({ cells }) => cells.some((cell) => cell !== null));
}

function cellText(found: Availability | undefined): string | null {
  if (found === undefined) return null;
  const errors = Object.entries(found.errors).sort(([, a], [, b]) => b - a);
  const refused = errors.reduce((sum, [, count]) => sum + count, 0);
  const total = found.ok + refused;
  if (total < COUNT_MIN) return null;
  const codes = errors.slice(0, 2).map(([code]) => `\`${code}\``);
  const share = found.ok / total;
  if (share >= SERVED_MIN) return 'served';
  if (share <= REFUSED_MAX) return codes.join(', ');
  return `${Math.round(share * 100)} % served, else ${codes.join(', ')}`;
}

/** Several runs as if they were one. */
export function mergeMatrices(matrices: readonly Matrix[]): Matrix {
  const all = new Map<string, Map<string, Availability>>();
  for (const matrix of matrices) {
    for (const [situation, classes] of Object.entries(matrix)) {
      const into = getOrMake(all, situation, () => new Map<string, Availability>());
      for (const [name, { ok, errors }] of Object.entries(classes)) {
        const cell = getOrMake(into, name, (): Availability => ({ ok: 0, errors: {} }));
        cell.ok += ok;
        for (const [code, count] of Object.entries(errors)) {
          cell.errors[code] = (cell.errors[code] ?? 0) + count;
        }
      }
    }
  }
  return Object.fromEntries([...all].map(([name, classes]) => [name, Object.fromEntries(classes)]));
}

export function matrixMarkdown(matrix: Matrix): string {
  const rows = matrixRows(matrix);
  const used = CLASSES.map((_, i) => rows.some(({ cells }) => cells[i] !== null));
  const keep = <T>(list: readonly T[]): T[] => list.filter((_, i) => used[i]);
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    line(['fault', ...keep(CLASSES).map(({ title }) => title)]),
    line(['---', ...keep(CLASSES).map(() => '---')]),
    ...rows.map(({ situation, cells }) =>
      line([
        situation === 'none' ? 'no fault' : situation,
        ...keep(cells.map((cell) => cell ?? '-')),
      ]),
    ),
    line(['*checked by*', ...keep(CLASSES).map(({ checked }) => `*${checked}*`)]),
    '',
  ].join('\n');
}
