import type { HistoryOperation } from '../history/operation.js';
import { timeChart } from './chart.js';
import { CLASSES, matrixRows } from './matrix.js';
import { isGood, readsText, type Summary, type Times } from './summary.js';

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2330; --paper: #ffffff; --soft: #f1f3f7; --line: #cfd5e0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8f0; --paper: #14171d; --soft: #1f242d; --line: #39414f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto; max-width: 1150px; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; font-size: 13px; } .wide { overflow-x: auto; }
th, td { border-bottom: 1px solid var(--line); padding: 4px 8px; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
code, pre { font: 12px/1.4 ui-monospace, monospace; background: var(--soft); border-radius: 3px; padding: 1px 4px; }
pre { padding: 8px; overflow-x: auto; } svg { width: 100%; height: auto; background: var(--soft); border-radius: 4px; }
.good { color: #1a7f4b; font-weight: 600; } .bad { color: #c0392b; font-weight: 600; } .open { color: #b7791f; font-weight: 600; }
.line { fill: none; stroke-width: 1.5; } .axis { stroke: var(--line); } .small { font: 10px system-ui, sans-serif; fill: currentColor; }
.window { fill: #c0392b; opacity: 0.07; } .fault { fill: #c0392b; opacity: 0.55; }`;

/** What the report shows of an offending part of a history. */
export interface Picture {
  readonly workload: string;
  readonly checker: string;
  readonly svg: string;
}

/** The whole page: it needs no network and no other file. */
export function htmlReport(summary: Summary, pictures: readonly Picture[]): string {
  const word = isGood(summary)
    ? '<span class="good">nothing wrong was found</span>'
    : '<span class="bad">not shown to be right</span>';
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>jepsen-like: seed ${summary.seed}</title><style>${STYLE}</style></head><body>
<h1>jepsen-like: ${word}</h1>
${facts(summary)}
<h2>Verdicts</h2>${verdicts(summary)}
${problems(summary)}
<h2>Over time</h2>
<p>Shaded: a fault was on. Which it was is below.</p>
${timeChart(summary.perSecond, summary.faults)}
<h2>What was served during which fault</h2>
<p>Operations that began at least five seconds after the only fault that was on, and before it was being mended. A refusal for a reason of the application (a condition
that does not hold, a lock that is held) counts as served.</p>
${matrix(summary)}
<h2>How long writes stood still</h2>
<p>From the begin of a fault, and from its end, to the first write begun after it that was served, in milliseconds.</p>
${times(summary)}
<h2>What was injected</h2>${injected(summary)}
${offences(summary, pictures)}
<h2>This machine</h2><pre>${safe(JSON.stringify(summary.machine, null, 2))}</pre>
</body></html>
`;
}

function facts(summary: Summary): string {
  const { counts, seconds } = summary;
  const total = counts.ok + counts.fail + counts.info;
  return `<p>Again: <code>${safe(summary.command)}</code></p>
<p>${summary.nodes} replicas, ${seconds.toFixed(0)} s, ${total} operations: ${counts.ok} served,
${counts.fail} certainly not done, ${counts.info} of unknown outcome. ${summary.events} events of the store,
${summary.faults.length} faults, last term ${summary.terms}; ${readsText(summary)}.</p>`;
}

function verdicts({ verdicts: all }: Summary): string {
  const rows = all.flatMap(({ workload, verdicts: of }) =>
    of.map(({ valid, checker, operations, text, tookMs }) => {
      const [style, word] =
        valid === true
          ? ['good', 'valid']
          : valid === false
            ? ['bad', 'INVALID']
            : ['open', 'unknown'];
      return `<tr><td>${workload}</td><td>${checker}</td><td class="${style}">${word}</td>
<td class="number">${operations}</td><td>${safe(text)}</td><td class="number">${tookMs.toFixed(0)} ms</td></tr>`;
    }),
  );
  return table(['workload', 'checker', 'verdict', 'operations', '', 'judged in'], rows);
}

function problems({ problems: all }: Summary): string {
  if (all.length === 0) return '';
  return `<h2 class="bad">Beside the histories</h2>${all.map((one) => `<pre>${safe(one)}</pre>`).join('')}`;
}

function matrix(summary: Summary): string {
  const rows = matrixRows(summary.matrix).map(({ situation, cells }) => {
    const shown = cells.map((cell) => `<td>${withCode(cell ?? '-')}</td>`);
    return `<tr><td>${situation === 'none' ? 'no fault' : situation}</td>${shown.join('')}</tr>`;
  });
  const checked = CLASSES.map((one) => `<td><em>${one.checked}</em></td>`).join('');
  rows.push(`<tr><td><em>checked by</em></td>${checked}</tr>`);
  return table(['fault', ...CLASSES.map(({ title }) => withCode(title))], rows);
}

function times({ outages, recoveries }: Summary): string {
  const row = (what: string, one: Times): string => {
    const numbers = [one.count, one.p50Ms, one.p99Ms, one.maxMs];
    const cells = numbers.map((number) => `<td class="number">${number}</td>`).join('');
    return `<tr><td>${one.fault}</td><td>${what}</td>${cells}</tr>`;
  };
  const rows = [
    ...outages.map((one) => row('begin', one)),
    ...recoveries.map((one) => row('end', one)),
  ].sort();
  return table(['fault', 'from its', 'times', 'p50', 'p99', 'max'], rows);
}

function injected({ injected: all, skipped, withoutTurn, leftOut }: Summary): string {
  const rows = Object.entries(all).map(
    ([what, count]) => `<tr><td>${safe(what)}</td><td class="number">${count}</td></tr>`,
  );
  const note = `<p>${skipped} more could not be carried out, since another fault had what they need.</p>`;
  const absent = `<p>Left out, since this machine or cluster does not have what they need: ${safe(leftOut.join(', '))}.</p>`;
  const short = `<p>Had no turn: ${safe(withoutTurn.join(', '))}.</p>`;
  const notes = [
    skipped === 0 ? '' : note,
    withoutTurn.length === 0 ? '' : short,
    leftOut.length === 0 ? '' : absent,
  ].join('');
  return table(['what', 'times'], rows) + notes;
}

function offences({ verdicts: all }: Summary, pictures: readonly Picture[]): string {
  const found = all.flatMap(({ workload, verdicts: of }) =>
    of.filter(({ smallest }) => smallest !== undefined).map((one) => ({ workload, ...one })),
  );
  return found
    .map(({ workload, checker, smallest = [] }) => {
      const picture = pictures.find((one) => one.workload === workload && one.checker === checker);
      return `<h2 class="bad">The smallest history that ${checker} refuses (${workload})</h2>
${picture?.svg ?? ''}<pre>${smallest.map(lineOf).join('\n')}</pre>`;
    })
    .join('');
}

function lineOf(operation: HistoryOperation): string {
  return safe(JSON.stringify(operation));
}

function table(titles: readonly string[], rows: readonly string[]): string {
  const head = titles.map((title) => `<th>${title}</th>`).join('');
  return `<div class="wide"><table><thead><tr>${head}</tr></thead><tbody>${rows.join('\n')}</tbody></table></div>`;
}

function withCode(text: string): string {
  return safe(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>');
}

function safe(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
