import { median } from '../../src/cli/bench/latencies.js';
import { htmlDocument, table } from './document.js';
import { plot, safe } from './plot.js';
import type { Round, ScenarioResult } from './rounds.js';
import { rowsOf } from './rows.js';
import type { BenchRun } from './run-file.js';

/** The whole run on one page. */
export function benchPage(run: BenchRun): string {
  const { machine } = run;
  const facts = `${machine.cpus} processors (${machine.cpu}), Node ${machine.node}, load average before: ${machine.loadAverageBefore.toFixed(2)}`;
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
        plotOf('calls per second', members, ({ perSecond }) => perSecond),
        plotOf('p99 in ms', members, ({ p99Ms }) => p99Ms),
      ];
      return `<h2>${safe(family)}: by outstanding calls</h2><div class="plots">${plots.join('')}</div>`;
    })
    .join('\n');
}

function plotOf(
  label: string,
  members: readonly ScenarioResult[],
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
    members.map(({ scenario }) => String(scenario.outstanding)),
  );
}

function list(facts: Readonly<Record<string, string>>): string {
  const lines = Object.entries(facts).map(
    ([name, fact]) => `<li>${safe(name)}: ${safe(fact)}</li>`,
  );
  return lines.length === 0 ? '' : `<ul>${lines.join('')}</ul>`;
}
