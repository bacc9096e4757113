import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Baseline } from './baseline.js';
import type { Mutation } from './mutation.js';
import { MUTATIONS } from './mutations.js';
import { tableOf } from './table.js';
import { checkRules, examine, type Verdict } from './verdict.js';
import { Workshop } from './workshop.js';

const HELP = `Puts historical bugs back into a scratch copy of the source, one at a time, and demands that
the rule tests or the simulator catch each.

  npm run mutants                      all of them; writes docs/mutants.md
  npm run mutants -- --only a,b        some, by name; writes nothing
  npm run mutants -- --workers 1       how many at once (default 2)
  npm run mutants -- --list            their names`;

const ROOT = join(import.meta.dirname, '../..');
const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    workers: { type: 'string', default: '2' },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const chosen = choose(values.only);
if (values.help) console.log(HELP);
else if (values.list) for (const { name, bug } of chosen) console.log(`${name.padEnd(44)} ${bug}`);
else process.exitCode = await main(chosen, values.only === undefined);

function choose(only: string | undefined): readonly Mutation[] {
  if (only === undefined) return MUTATIONS;
  return only.split(',').map((name) => {
    const found = MUTATIONS.find((mutation) => mutation.name === name);
    if (found === undefined) throw new Error(`no mutation is called ${name}; --list names them`);
    return found;
  });
}

async function main(mutations: readonly Mutation[], all: boolean): Promise<number> {
  const startedMs = Date.now();
  const queue = [...mutations];
  const verdicts: Verdict[] = [];
  const undecided: string[] = [];
  await inWorkshop((workshop) => checkRules(workshop, mutations));
  const baseline = new Baseline(() => new Workshop(ROOT));
  const work = async (workshop: Workshop): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      try {
        const verdict = await examine(workshop, next, baseline);
        verdicts.push(verdict);
        const done = verdicts.length + undecided.length;
        report(verdict, { done, of: mutations.length, startedMs });
      } catch (error) {
        // The others are looked at all the same.
        undecided.push(next.name);
        console.log(`UNDECIDED ${next.name.padEnd(43)} ${(error as Error).message}`);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: Number(values.workers) }, () => inWorkshop(work)));
  } finally {
    baseline.dispose();
  }
  verdicts.sort((a, b) => mutations.indexOf(a.mutation) - mutations.indexOf(b.mutation));
  const survivors = verdicts.filter((verdict) => !verdict.caught);
  const allCaught = survivors.length === 0 && undecided.length === 0;
  if (all && allCaught) writeTable(tableOf(verdicts));
  const counts = [`${verdicts.length - survivors.length} caught`, `${survivors.length} survived`];
  console.log([...counts, `${undecided.length} undecided`].join(', '));
  for (const { mutation } of survivors) console.log(`survived: ${mutation.name}: ${mutation.bug}`);
  return allCaught ? 0 : 1;
}

async function inWorkshop(work: (workshop: Workshop) => Promise<void>): Promise<void> {
  const workshop = new Workshop(ROOT);
  try {
    await work(workshop);
  } finally {
    workshop.dispose();
  }
}

function report(
  verdict: Verdict,
  progress: { readonly done: number; readonly of: number; readonly startedMs: number },
): void {
  const minutes = ((Date.now() - progress.startedMs) / 60_000).toFixed(1);
  const by = [verdict.rule, verdict.simulator].filter((text) => text !== null).join('; ');
  const word = verdict.caught ? 'caught  ' : 'SURVIVED';
  console.log(`${word} ${verdict.mutation.name.padEnd(44)} ${by}`);
  if (process.stderr.isTTY) {
    process.stderr.write(`${progress.done} of ${progress.of}, ${minutes} min\r`);
  }
}

function writeTable(table: string): void {
  const path = join(ROOT, 'docs/mutants.md');
  const text = readFileSync(path, 'utf8');
  const [before, rest] = text.split('<!-- table -->\n');
  const after = rest?.split('<!-- end of table -->\n')[1];
  if (before === undefined || after === undefined) throw new Error(`${path} has no table marks`);
  writeFileSync(path, `${before}<!-- table -->\n${table}<!-- end of table -->\n${after}`);
}
