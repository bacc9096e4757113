import { CURVE_SHARES, median, SLICE_MS } from '../../src/cli/bench/latencies.js';
import type { Scenario } from '../../src/cli/bench/scenario.js';
import { rounded } from '../machine.js';
import { htmlDocument, table } from './document.js';
import { plot, safe } from './plot.js';
import type { Round, ScenarioResult } from './rounds.js';
import { rowsOf } from './rows.js';
import type { BenchRun } from './run-file.js';

/** Labels below a plot over time. */
const TIME_TICKS_MAX = 8;

/** The whole run on one page. */
export function benchPage(run: BenchRun): string {
  const { machine } = run;
  const facts = [
    `${machine.cpus} processors (${machine.cpu}), Node ${machine.node}, data on ${machine.fileSystem}`,
    `load average before: ${machine.loadAverageBefore.toFixed(2)}, commit ${machine.commit}`,
  ].join(', ');
  const body = `<h1>Benchmark, ${safe(run.at)}</h1>
<p>Again: <code>${safe(run.command)}</code><br>${safe(facts)}</p>
<h2>What made writes last</h2>${list(run.durability)}
${Object.keys(run.missing).length === 0 ? '' : `<h2>Not measured</h2>${list(run.missing)}`}
<h2>What this machine gives</h2>${table(run.limits.map(({ what, perSecond }) => ({ what, 'per second': Math.round(perSecond) })))}
${curves(run.scenarios)}
${run.scenarios.map(section).join('\n')}`;
  return htmlDocument('Balsa: benchmark', body);
}

function section(result: ScenarioResult): string {
  const plots = [latencies(result), overTime(result)].join('');
  return `<h2>${safe(result.title)}</h2><div class="wide">${table(rowsOf(result))}</div>${list(result.left)}<div class="plots">${plots}</div>`;
}

/** What share of the calls took how long: the medians of the rounds. */
function latencies({ results }: ScenarioResult): string {
  const lines = results.flatMap(({ subject, rounds }) => {
    const curves = rounds.flatMap(({ curveMs }) => (curveMs === undefined ? [] : [curveMs]));
    const values = CURVE_SHARES.map((_, i) =>
      median(curves.map((curve) => curve[i] ?? Number.NaN)),
    );
    return curves.length === 0 ? [] : [{ name: subject, values }];
  });
  const ticks = CURVE_SHARES.map((share) =>
    share === 1 ? 'max' : String(rounded(share * 100, 2)),
  );
  return lines.length === 0 ? '' : plot('latency in ms, by percentile', lines, ticks, 'log');
}

/** Round behind round, with a gap of one interval between two. */
function overTime({ results }: ScenarioResult): string {
  const lines = results.flatMap(({ subject, rounds }) => {
    const values = rounds.flatMap(({ perSecondOverTime: slices }) =>
      slices === undefined ? [] : [...slices, Number.NaN],
    );
    return values.length === 0 ? [] : [{ name: subject, values: values.slice(0, -1) }];
  });
  if (lines.length === 0) return '';
  const slices = Math.max(...lines.map(({ values }) => values.length));
  const perTick = Math.ceil(slices / TIME_TICKS_MAX);
  const ticks = Array.from({ length: slices }, (_, i) =>
    i % perTick === 0 ? `${(i * SLICE_MS) / 1000} s` : '',
  );
  return plot('calls per second, over time', lines, ticks);
}

/** What scenarios may differ in, to be put together in a curve. */
const DIMENSIONS: readonly Dimension[] = [
  { what: 'outstanding calls', of: ({ outstanding }) => outstanding },
  { what: 'bytes of a value', of: ({ valueBytes }) => valueBytes },
  { what: 'keys', of: ({ keys }) => keys },
  { what: 'calls asked for per second', of: ({ ratePerSecond }) => ratePerSecond },
];

interface Dimension {
  readonly what: string;
  /** `null`: the scenario has none. */
  readonly of: (scenario: Scenario) => number | null;
}

/** Scenarios that differ in one thing only, put together. */
function curves(scenarios: readonly ScenarioResult[]): string {
  return DIMENSIONS.flatMap((dimension) => {
    const families = new Map<string, ScenarioResult[]>();
    for (const one of scenarios.filter(({ scenario }) => dimension.of(scenario) !== null)) {
      const family = familyOf(one.scenario, dimension);
      families.set(family, [...(families.get(family) ?? []), one]);
    }
    return [...families]
      .filter(([, members]) => members.length > 1)
      .map(([family, members]) => familySection(family, members, dimension));
  }).join('\n');
}

/** All but the dimension. */
function familyOf(scenario: Scenario, { what }: Dimension): string {
  const { operation, distribution } = scenario;
  const fixed = DIMENSIONS.flatMap((other) => {
    const value = other.of(scenario);
    // An open loop has no calls that are always outstanding.
    const isNone = other.what === 'outstanding calls' && scenario.ratePerSecond !== null;
    return other.what === what || value === null || isNone ? [] : [`${value} ${other.what}`];
  });
  return [`${operation}, ${distribution}`, ...fixed].join(', ');
}

function familySection(
  family: string,
  members: readonly ScenarioResult[],
  dimension: Dimension,
): string {
  const plots = [
    plotOf('calls per second', members, dimension, ({ perSecond }) => perSecond),
    plotOf('p99 in ms', members, dimension, ({ p99Ms }) => p99Ms),
  ];
  return `<h2>${safe(family)}: by ${dimension.what}</h2><div class="plots">${plots.join('')}</div>`;
}

function plotOf(
  label: string,
  members: readonly ScenarioResult[],
  dimension: Dimension,
  figure: (round: Round) => number,
): string {
  const subjects = [
    ...new Set(members.flatMap(({ results }) => results.map((one) => one.subject))),
  ];
  const lines = subjects.map((name) => {
    const values = members.map(({ results }) => {
      const rounds = results.find((one) => one.subject === name)?.rounds ?? [];
      return median(rounds.map(figure));
    });
    return { name, values };
  });
  return plot(
    label,
    lines,
    members.map(({ scenario }) => String(dimension.of(scenario))),
  );
}

function list(facts: Readonly<Record<string, string>>): string {
  const lines = Object.entries(facts).map(
    ([name, fact]) => `<li>${safe(name)}: ${safe(fact)}</li>`,
  );
  return lines.length === 0 ? '' : `<ul>${lines.join('')}</ul>`;
}
