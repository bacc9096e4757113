import type { Verdict } from './verdict.js';

/** The table of `docs/mutants.md`. */
export function tableOf(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map((verdict) => {
    const { mutation } = verdict;
    return row([
      `\`${mutation.name}\``,
      mutation.bug,
      mutation.history,
      verdict.rule ?? '-',
      simulatorCell(verdict),
    ]);
  });
  return [
    row(['mutation', 'what it does', 'history', 'rule test', 'simulator']),
    row(['---', '---', '---', '---', '---']),
    ...rows,
    '',
  ].join('\n');
}

function simulatorCell({ mutation, simulator, schedules }: Verdict): string {
  if (simulator !== null) return `schedule ${schedules}: ${simulator.replace(/^simulator: /, '')}`;
  return mutation.seedsMax === 0 ? 'not asked' : `not within ${schedules} schedules`;
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
}
