const WIDTH = 520;
const HEIGHT = 240;
const LEFT = 64;
const BOTTOM = 28;
const COLOURS = ['#1a7f4b', '#2458a6', '#b7791f', '#8e44ad', '#c0392b'];

export interface Line {
  readonly name: string;
  /** One for each tick; what is not finite is left out. */
  readonly values: readonly number[];
}

/** `log`: each step up is ten times as much; what is not above 0 is left out. */
export type Scale = 'from 0' | 'log';

/** Lines over the same ticks, as SVG. */
export function plot(
  label: string,
  lines: readonly Line[],
  ticks: readonly string[],
  scale: Scale = 'from 0',
): string {
  const isLog = scale === 'log';
  const isShown = (value: number): boolean => Number.isFinite(value) && (!isLog || value > 0);
  const shown = lines.flatMap(({ values }) => values).filter(isShown);
  const max = Math.max(...shown);
  const min = isLog ? Math.min(...shown) : 0;
  const height = isLog
    ? (value: number): number => (max > min ? Math.log(value / min) / Math.log(max / min) : 0)
    : (value: number): number => value / max;
  const x = (i: number): number => LEFT + (i / Math.max(1, ticks.length - 1)) * (WIDTH - LEFT - 20);
  const y = (value: number): number => HEIGHT - BOTTOM - height(value) * (HEIGHT - BOTTOM - 40);
  const drawn = lines.map(({ name, values }, n) => {
    const colour = COLOURS[n % COLOURS.length];
    const points = values.flatMap((value, i) =>
      isShown(value) ? [`${x(i).toFixed(1)} ${y(value).toFixed(1)}`] : [],
    );
    const legend = `<text x="${LEFT + n * 110}" y="14" style="fill:${colour}">${safe(name)}</text>`;
    return `<path d="M${points.join('L')}" stroke="${colour}"/>${legend}`;
  });
  const marks = ticks.map((tick, i) => `<text x="${x(i)}" y="${HEIGHT - 8}">${safe(tick)}</text>`);
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${safe(label)}">
<text x="4" y="${y(max) + 4}">${max.toPrecision(3)}</text><text x="4" y="${HEIGHT - BOTTOM}">${isLog ? min.toPrecision(3) : 0}</text><text x="4" y="30">${safe(label)}</text>
<line class="axis" x1="${LEFT}" x2="${WIDTH - 20}" y1="${HEIGHT - BOTTOM}" y2="${HEIGHT - BOTTOM}"/>${drawn.join('')}${marks.join('')}</svg>`;
}

export const STYLE = `
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; }
h2 { font-size: 1.1rem; margin-top: 2rem; } .wide { overflow-x: auto; } .plots { display: flex; flex-wrap: wrap; gap: 1rem; }
table { border-collapse: collapse; font-size: 13px; } th, td { border-bottom: 1px solid #8886; padding: 3px 8px; text-align: left; }
svg { width: ${WIDTH}px; max-width: 100%; background: #8881; border-radius: 4px; } text { font: 11px system-ui, sans-serif; fill: currentColor; }
.axis { stroke: #8888; } path { fill: none; stroke-width: 2; } code { font-size: 13px; }`;

export function safe(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
