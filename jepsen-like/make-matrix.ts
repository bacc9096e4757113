import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { chooseNemeses } from './nemeses/nemeses.js';
import { LEGEND, matrixMarkdown } from './report/matrix.js';
import { isGood, type Matrix } from './report/summary.js';
import { conduct } from './run/conduct.js';

/** One of each kind that leaves different things to be had. */
const NEMESES =
  'kill-leader,kill-minority,kill-majority,pause-leader,partition-leader,partition-halves,partition-bridge,links-slow,clock-jump,disk-stall';
/** All classes of operations. */
const WORKLOADS = 'register,append,bank,lock,lease,levels,ap';
/** Long enough for what a fault leads to, behind the change itself. */
const HOLD_MS = 15_000;
const README = 'README.md';
const BEGIN = '<!-- made by npm run jepsen -- --matrix; do not edit -->\n';
const END = '<!-- end of the matrix -->';

/** Has one fault at a time for a while, and writes down what was served meanwhile. @returns the exit code */
export async function makeMatrix(options: {
  readonly out: string;
  readonly signal: AbortSignal;
  readonly seed: number;
}): Promise<number> {
  const { seed } = options;
  const spec = {
    ...{ workload: WORKLOADS, nemesis: NEMESES, nodes: 5, minutes: 0, pace: 6, seed },
    ...{ network: 'proxies' as const, leaseReads: false },
  };
  const cycles = chooseNemeses(NEMESES).length;
  const { summary, folder, interrupted } = await conduct(
    { ...spec, cycles, holdMs: HOLD_MS },
    options,
  );
  if (interrupted) return 130;
  console.log(`${folder}/report.html`);
  if (!isGood(summary)) {
    console.log('something was wrong: the table stays as it was');
    return 1;
  }
  const path = resolve(README);
  const [before, rest] = readFileSync(path, 'utf8').split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`${README} has no marks`);
  const made = `${matrixMarkdown(summary.matrix)}\n${legend(summary.matrix, seed)}`;
  writeFileSync(path, `${before}${BEGIN}\n${made}\n${END}${after}`);
  return 0;
}

function legend(matrix: Matrix, seed: number): string {
  const cells = Object.values(matrix).flatMap((classes) => Object.values(classes));
  const counts = cells.flatMap(({ ok, errors }) => [ok, ...Object.values(errors)]);
  const operations = counts.reduce((sum, count) => sum + count, 0);
  const day = new Date().toISOString().slice(0, 10);
  return `${LEGEND} ${operations.toLocaleString('en')} operations, seed ${seed}, ${day}.\n`;
}
