import { safe } from './plot.js';
import type { Call } from './stages.js';

const WIDTH = 1160;
const ROW = 16;
const LETTER = 6.2;
/** What takes less of all is left out. */
const SHARE_MIN = 0.002;
const COLOURS = ['#d9822b', '#e0a33e', '#cf6a2f', '#d8b04c'];

interface Box {
  readonly call: Call;
  readonly total: number;
  readonly depth: number;
  readonly from: number;
}

/**
 * Who was called from where, as wide as what it took, from above to below, as SVG: Gregg, "The Flame Graph" (CACM 59(6), 2016), upside down.
 * A title says what each took of all.
 */
export function flameGraph(label: string, root: Call): string {
  const boxes: Box[] = [];
  const all = busyOf(root);
  let depth = 0;
  const place = (call: Call, from: number, at: number): void => {
    const total = busyOf(call);
    if (total < all * SHARE_MIN) return;
    boxes.push({ call, total, depth: at, from });
    depth = Math.max(depth, at);
    let next = from;
    for (const child of merged(call.children)) {
      place(child, next, at + 1);
      next += busyOf(child);
    }
  };
  place(root, 0, 0);
  const drawn = boxes.map((box) => rectangle(box, all));
  const height = (depth + 1) * ROW;
  return `<svg class="flame" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${safe(label)}">${drawn.join('')}</svg>`;
}

export const FLAME_STYLE = 'svg.flame { width: 100%; } svg.flame text { fill: #111; }';

function rectangle({ call, total, depth, from }: Box, all: number): string {
  const x = (from / all) * WIDTH;
  const width = (total / all) * WIDTH;
  const name = call.name === '' ? '(anonymous)' : call.name;
  const file = call.url.replace(/^.*\/(?=[^/]*\/[^/]*$)/, '');
  const title = `${name} ${file}: ${((100 * total) / all).toFixed(1)} %`;
  const colour = COLOURS[(name.length + depth) % COLOURS.length];
  const shown = name.slice(0, Math.floor((width - 4) / LETTER));
  const text =
    shown.length < 3
      ? ''
      : `<text x="${(x + 2).toFixed(1)}" y="${depth * ROW + 12}">${safe(shown)}</text>`;
  return `<g><title>${safe(title)}</title><rect x="${x.toFixed(1)}" y="${depth * ROW}" width="${width.toFixed(1)}" height="${ROW - 1}" fill="${colour}"/>${text}</g>`;
}

/** The same function called from several lines is one box. */
function merged(calls: readonly Call[]): Call[] {
  const byName = new Map<string, Call>();
  for (const call of calls) {
    const name = `${call.name} ${call.url}`;
    const before = byName.get(name);
    const { self = 0, children = [] } = before ?? {};
    byName.set(name, {
      ...call,
      self: self + call.self,
      children: [...children, ...call.children],
    });
  }
  return [...byName.values()].sort((a, b) => busyOf(b) - busyOf(a));
}

const known = new WeakMap<Call, number>();

/** What it took, with all that it called; idle time is left out. */
function busyOf(call: Call): number {
  const before = known.get(call);
  if (before !== undefined) return before;
  let total = call.name === '(idle)' ? 0 : call.self;
  for (const child of call.children) total += busyOf(child);
  known.set(call, total);
  return total;
}
