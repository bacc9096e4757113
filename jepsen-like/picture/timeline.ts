import { CallPairer } from '../checkers/calls.js';
import { windowsOf } from '../checkers/fault-windows.js';
import { seconds, show } from '../checkers/values.js';
import type { FaultRecord, HistoryOperation } from '../history/operation.js';
import { TimeAxis } from './time-axis.js';

export interface TimelineOptions {
  readonly title: string;
  readonly operations: readonly HistoryOperation[];
  readonly faults?: readonly FaultRecord[];
  /** Operations beyond are left out, and said to be. Default: 300. */
  readonly operationsMax?: number;
}

const LEFT = 110;
const WIDTH = 1100;
const RIGHT = 30;
const TOP = 44;
const LANE = 34;
const COLOURS = { ok: '#bfe3c6', fail: '#e4e4e4', info: '#ffd9a0' } as const;

interface Bar {
  readonly process: number;
  readonly begin: number;
  /** `null`: it has none. */
  readonly end: number | null;
  readonly outcome: keyof typeof COLOURS;
  readonly text: string;
  readonly hint: string;
}

/**
 * A picture (SVG) of who did what when: a row for each process, a bar for each operation from its begin to its end, those of unknown outcome open
 * to the right; and above them the faults. Between moments there is room by the logarithm of their distance, so that the order can be read.
 */
export function renderTimeline(options: TimelineOptions): string {
  const { title, operations, faults = [], operationsMax = 300 } = options;
  const all = barsOf(operations);
  const bars = all.slice(0, operationsMax);
  const moments = bars.flatMap(({ begin, end }) => (end === null ? [begin] : [begin, end]));
  const from = Math.min(...moments, Number.POSITIVE_INFINITY);
  const to = Math.max(...moments, 0);
  const windows = windowsOf(faults).filter(({ begin, end }) => begin <= to && end >= from);
  const inside = (time: number): boolean => time >= from && time <= to;
  const edges = windows.flatMap(({ begin, end }) => [begin, end]).filter(inside);
  const axis = new TimeAxis([...moments, ...edges], WIDTH - 60);
  const processes = [...new Set(bars.map(({ process }) => process))].sort((a, b) => a - b);
  const faultLanes = windows.length;
  const height = TOP + (faultLanes + processes.length) * LANE + 50;
  const lane = (index: number): number => TOP + index * LANE;
  const left = all.length - bars.length;
  const parts = [
    text({ x: 12, y: 22, size: 15 }, left > 0 ? `${title} (${left} operations left out)` : title),
    ...windows.map(({ fault, nodes, begin, end }, at) => {
      const x = LEFT + axis.at(begin);
      const width = Math.max(3, LEFT + axis.at(end) - x);
      const label = `${fault} ${nodes.join(' ')}`.trim();
      const band = `<rect x="${px(x)}" y="${TOP - 6}" width="${px(width)}" height="${px(height - TOP - 34)}" fill="#d33" opacity="0.07"/>`;
      return `${band}${text({ x: x + 3, y: lane(at) + 20, size: 12, fill: '#a22' }, label)}`;
    }),
    ...processes.map((process, at) => {
      const y = lane(faultLanes + at);
      const line = `<line x1="${LEFT}" x2="${LEFT + WIDTH}" y1="${y + 28}" y2="${y + 28}" stroke="#ddd"/>`;
      return `${line}${text({ x: 12, y: y + 20, size: 12 }, `process ${process}`)}`;
    }),
    ...bars.map((bar) => drawBar(bar, axis, lane(faultLanes + processes.indexOf(bar.process)))),
    ...ticksOf(axis).map((time) => {
      const x = px(LEFT + axis.at(time));
      const line = `<line x1="${x}" x2="${x}" y1="${TOP - 6}" y2="${height - 34}" stroke="#bbb" stroke-dasharray="2 4"/>`;
      return `${line}${text({ x: LEFT + axis.at(time), y: height - 16, size: 11, anchor: 'middle' }, seconds(time))}`;
    }),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${LEFT + WIDTH + RIGHT} ${height}" font-family="sans-serif" role="img"><title>${escapeText(title)}</title><rect width="100%" height="100%" fill="#fff"/>\n${parts.join('\n')}\n</svg>\n`;
}

function barsOf(operations: readonly HistoryOperation[]): Bar[] {
  const pairer = new CallPairer('picture');
  const calls = [];
  for (const operation of [...operations].sort((a, b) => a.time - b.time)) {
    const call = pairer.take(operation);
    if (call !== null) calls.push(call);
  }
  calls.push(...pairer.rest());
  return calls
    .sort((a, b) => a.begin - b.begin)
    .map(({ process, f, key, asked, answer, outcome, begin, completion, invoke }) => {
      const isTold = outcome === 'ok' && answer !== undefined && show(answer) !== show(asked);
      const before = asked === undefined ? '' : ` ${show(asked)}`;
      const after = isTold ? ` → ${show(answer)}` : '';
      const revision = completion?.revision === undefined ? '' : ` @${completion.revision}`;
      const label = `${f}${key === '' ? '' : ` ${key}`}${before}${after}${revision}`;
      const error = completion?.error === undefined ? '' : `, ${completion.error}`;
      const times = `${seconds(begin)} to ${completion === null ? '?' : seconds(completion.time)}`;
      const end = outcome === 'info' || completion === invoke ? null : (completion?.time ?? null);
      return {
        process,
        begin,
        end,
        outcome,
        text: label,
        hint: `${label}: ${outcome}${error}, ${times}`,
      };
    });
}

function drawBar(
  { begin, end, outcome, text: label, hint }: Bar,
  axis: TimeAxis,
  y: number,
): string {
  const x = LEFT + axis.at(begin);
  const isOpen = end === null && outcome === 'info';
  const right = isOpen ? LEFT + WIDTH : LEFT + axis.at(end ?? begin);
  const width = Math.max(4, right - x);
  const dash = isOpen ? ' stroke-dasharray="5 3"' : '';
  const bar = `<rect x="${px(x)}" y="${y}" width="${px(width)}" height="24" rx="3" fill="${COLOURS[outcome]}" stroke="#777"${dash}/>`;
  return `<g><title>${escapeText(hint)}</title>${bar}${text({ x: x + 4, y: y + 16, size: 12 }, label)}</g>`;
}

/** As many moments as there is room for. */
function ticksOf({ times }: TimeAxis): number[] {
  const step = Math.max(1, Math.ceil(times.length / 12));
  return times.filter((_, at) => at % step === 0 || at === times.length - 1);
}

interface Place {
  readonly x: number;
  readonly y: number;
  readonly size: number;
  readonly fill?: string;
  readonly anchor?: string;
}

function text({ x, y, size, fill = '#222', anchor = 'start' }: Place, content: string): string {
  return `<text x="${px(x)}" y="${px(y)}" font-size="${size}" fill="${fill}" text-anchor="${anchor}">${escapeText(content)}</text>`;
}

function px(value: number): string {
  return value.toFixed(1);
}

function escapeText(content: string): string {
  return content
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
