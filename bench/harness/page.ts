import { median } from '../../src/cli/bench/latencies.js';
import type { Round, ScenarioResult } from './rounds.js';
import { rowsOf } from './rows.js';
import type { BenchRun } from './run-file.js';

const WIDTH = 520;
const HEIGHT = 240;
const LEFT = 64;
const BOTTOM = 28;
const COLOURS = ['#1a7f4b', '#2458a6', '#b7791f', '#8e44ad', '#c0392b'];
const STYLE = `
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; }
h2 { font-size: 1.1rem; margin-top: 2rem; } .wide { overflow-x: auto; } .plots { display: flex; flex-wrap: wrap; gap: 1rem; }
table { border-collapse: collapse; font-size: 13px; } th, td { border-bottom: 1px solid #8886; padding: 3px 8px; text-align: left; }
svg { width: ${WIDTH}px; max-width: 100%; background: #8881; border-radius: 4px; } text { font: 11px system-ui, sans-serif; fill: currentColor; }
.axis { stroke: #8888; } path { fill: none; stroke-width: 2; } code { font-size: 13px; }`;

/** The whole run on one page, which needs no network and no other file. */
export function benchPage(run: BenchRun): string {
  const { machine } = run;
  const facts = `${machine.cpus} processors (${machine.cpu}), Node ${machine.node}, load average before: ${machine.loadAverageBefore.toFixed(2)}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Balsa: benchmark</title><style>${STYLE}</style></head><body>
<h1>Benchmark, ${safe(run.at)}</h1>
<p>Again: <code>${safe(run.command)}</code><br>${safe(facts)}</p>
<h2>What made writes last</h2>${list(run.durability)}
${Object.keys(run.missing).length === 0 ? '' : `<h2>Not measured</h2>${list(run.missing)}`}
<h2>What this machine gives</h2>${table(run.limits.map(({ what, perSecond }) => ({ what, 'per second': Math.round(perSecond) })))}
${curves(run.scenarios)}
${run.scenarios.map(section).join('\n')}
</body></html>
`;
}

function section(result: ScenarioResult): string {
  return `<h2>${safe(result.title)}</h2><div class="wide">${table(rowsOf(result))}</div>${list(result.left)}`;
}

/** Closed loops that differ only in how many calls are outstanding, put together. */
function curves(scenarios: readonly ScenarioResult[]): string {
  const families = new Map<string, ScenarioResult[]>();
  for (const one of scenarios.filter(({ scenario }) => scenario.ratePerSecond === null)) {
    const { operation, valueBytes, distribution } = one.scenario;
    const family = `${operation} ${valueBytes} B, ${distribution}`;
    families.set(family, [...(families.get(family) ?? []), one]);
  }
  return [...families]
    .filter(([, members]) => members.length > 1)
    .map(([family, members]) => {
      const plots = [
        plot('calls per second', members, ({ perSecond }) => perSecond),
        plot('p99 in ms', members, ({ p99Ms }) => p99Ms),
      ];
      return `<h2>${safe(family)}: by outstanding calls</h2><div class="plots">${plots.join('')}</div>`;
    })
    .join('\n');
}

function plot(
  label: string,
  members: readonly ScenarioResult[],
  figure: (round: Round) => number,
): string {
  const subjects = [
    ...new Set(members.flatMap(({ results }) => results.map((one) => one.subject))),
  ];
  const lines = subjects.map((subject) =>
    members.map(({ results }) => {
      const rounds = results.find((one) => one.subject === subject)?.rounds ?? [];
      return median(rounds.map(figure));
    }),
  );
  const max = Math.max(...lines.flat().filter(Number.isFinite));
  const x = (i: number): number =>
    LEFT + (i / Math.max(1, members.length - 1)) * (WIDTH - LEFT - 20);
  const y = (value: number): number => HEIGHT - BOTTOM - (value / max) * (HEIGHT - BOTTOM - 40);
  const drawn = lines.map((values, n) => {
    const colour = COLOURS[n % COLOURS.length];
    const points = values.flatMap((value, i) =>
      Number.isFinite(value) ? [`${x(i).toFixed(1)} ${y(value).toFixed(1)}`] : [],
    );
    const legend = `<text x="${LEFT + n * 110}" y="14" style="fill:${colour}">${safe(subjects[n] ?? '')}</text>`;
    return `<path d="M${points.join('L')}" stroke="${colour}"/>${legend}`;
  });
  const ticks = members.map(
    ({ scenario }, i) => `<text x="${x(i)}" y="${HEIGHT - 8}">${scenario.outstanding}</text>`,
  );
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${safe(label)}">
<text x="4" y="${y(max) + 4}">${max.toPrecision(3)}</text><text x="4" y="${HEIGHT - BOTTOM}">0</text><text x="4" y="30">${safe(label)}</text>
<line class="axis" x1="${LEFT}" x2="${WIDTH - 20}" y1="${HEIGHT - BOTTOM}" y2="${HEIGHT - BOTTOM}"/>${drawn.join('')}${ticks.join('')}</svg>`;
}

function table(rows: readonly Readonly<Record<string, string | number>>[]): string {
  const columns = Object.keys(rows[0] ?? {});
  const head = columns.map((column) => `<th>${safe(column)}</th>`).join('');
  const body = rows.map(
    (row) =>
      `<tr>${columns.map((column) => `<td>${safe(String(row[column]))}</td>`).join('')}</tr>`,
  );
  return `<table><tr>${head}</tr>${body.join('')}</table>`;
}

function list(facts: Readonly<Record<string, string>>): string {
  const lines = Object.entries(facts).map(
    ([name, fact]) => `<li>${safe(name)}: ${safe(fact)}</li>`,
  );
  return lines.length === 0 ? '' : `<ul>${lines.join('')}</ul>`;
}

function safe(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
