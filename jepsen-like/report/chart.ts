import type { FaultInterval } from '../run/fault-log.js';
import type { SecondSummary } from './summary.js';

const WIDTH = 1100;
const PLOT_HEIGHT = 150;
const LEFT = 60;
const BAND = 14;
const GAP = 26;

interface Line {
  readonly label: string;
  readonly colour: string;
  readonly values: readonly (number | null)[];
}

/** Throughput and latency over time, and below them when each fault was on. */
export function timeChart(
  perSecond: readonly SecondSummary[],
  faults: readonly FaultInterval[],
): string {
  const seconds = Math.max(1, perSecond.length);
  const kinds = [...new Set(faults.map(({ fault }) => fault))].sort();
  const height = 2 * (PLOT_HEIGHT + GAP) + kinds.length * BAND + 30;
  const x = (second: number): number => LEFT + (second / seconds) * (WIDTH - LEFT - 10);
  const bottom = 2 * (PLOT_HEIGHT + GAP);
  const windows = faults.map(({ beginNs, endNs }) => {
    const from = x(beginNs / 1e9);
    const to = x(endNs === null ? seconds : endNs / 1e9);
    const width = Math.max(1, to - from).toFixed(1);
    return `<rect x="${from.toFixed(1)}" y="0" width="${width}" height="${bottom}" class="window"/>`;
  });
  const throughput = plot(0, x, [
    { label: 'served / s', colour: '#1a7f4b', values: perSecond.map(({ ok }) => ok) },
    { label: 'refused', colour: '#b7791f', values: perSecond.map(({ fail }) => fail) },
    { label: 'unknown', colour: '#c0392b', values: perSecond.map(({ info }) => info) },
  ]);
  const latency = plot(PLOT_HEIGHT + GAP, x, [
    { label: 'p50 ms', colour: '#2458a6', values: perSecond.map(({ p50Ms }) => p50Ms) },
    { label: 'p99 ms', colour: '#8e44ad', values: perSecond.map(({ p99Ms }) => p99Ms) },
  ]);
  const bands = kinds.map((kind, i) => {
    const y = bottom + i * BAND;
    const bars = faults
      .filter(({ fault }) => fault === kind)
      .map(({ beginNs, endNs, nodes }) => {
        const from = x(beginNs / 1e9);
        const to = x(endNs === null ? seconds : endNs / 1e9);
        const width = Math.max(2, to - from).toFixed(1);
        const title = `<title>${kind}: ${nodes.join(' ')}</title>`;
        return `<rect x="${from.toFixed(1)}" y="${y}" width="${width}" height="${BAND - 3}" class="fault">${title}</rect>`;
      });
    return `${bars.join('')}<text x="${LEFT + 2}" y="${y + BAND - 4}" class="small">${kind}</text>`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="throughput, latency and faults over time">
${windows.join('')}${throughput}${latency}${bands.join('')}
${ticks(seconds, x, height)}
</svg>`;
}

function plot(top: number, x: (second: number) => number, lines: readonly Line[]): string {
  const max = Math.max(1, ...lines.flatMap(({ values }) => values.map((value) => value ?? 0)));
  const y = (value: number): number => top + PLOT_HEIGHT - (value / max) * (PLOT_HEIGHT - 12);
  const paths = lines.map(({ colour, values }) => {
    let isDrawing = false;
    const steps = values.map((value, second) => {
      if (value === null) {
        isDrawing = false;
        return '';
      }
      const step = `${isDrawing ? 'L' : 'M'}${x(second).toFixed(1)} ${y(value).toFixed(1)}`;
      isDrawing = true;
      return step;
    });
    return `<path d="${steps.join('')}" stroke="${colour}" class="line"/>`;
  });
  const legend = lines.map(
    ({ label, colour }, i) =>
      `<text x="${LEFT + 8 + i * 90}" y="${top + 10}" fill="${colour}" class="small">${label}</text>`,
  );
  return `<line x1="${LEFT}" y1="${top + PLOT_HEIGHT}" x2="${WIDTH - 10}" y2="${top + PLOT_HEIGHT}" class="axis"/>
<text x="4" y="${top + 12}" class="small">${max.toFixed(0)}</text>${paths.join('')}${legend.join('')}`;
}

function ticks(seconds: number, x: (second: number) => number, height: number): string {
  const step = [1, 5, 10, 30, 60, 300, 600, 1800].find((one) => seconds / one <= 20) ?? 3600;
  const count = Math.floor(seconds / step);
  return Array.from({ length: count + 1 }, (_, i) => {
    const at = i * step;
    return `<text x="${x(at).toFixed(1)}" y="${height - 6}" class="small">${at} s</text>`;
  }).join('');
}
