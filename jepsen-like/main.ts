import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { lookAtMachine } from './cluster/machine.js';
import { chooseNemeses, NEMESES } from './nemeses/nemeses.js';
import type { Nemesis } from './nemeses/nemesis.js';
import { describePlan, type Period, planCycles, planPeriods } from './nemeses/schedule.js';
import { HELP, type Options, parseOptions, UsageError } from './options.js';
import { htmlReport } from './report/html.js';
import { isGood, type Summary, summarize } from './report/summary.js';
import { judge } from './run/judge.js';
import { ProgressLine } from './run/progress.js';
import { run } from './run/run.js';
import { chooseWorkloads, WORKLOADS } from './workloads/workloads.js';

const interrupt = new AbortController();
let signals = 0;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    signals += 1;
    interrupt.abort();
    // Whoever asks twice does not want to wait; what guards the children kills them.
    if (signals > 1) process.exit(130);
  });
}

try {
  process.exitCode = await main(parseOptions(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}

const LINGER_MS = 3000;
// Everything is closed by now: what still holds the process is of no use to anybody, but had better be known.
setTimeout(() => {
  console.error(`still open in the end: ${process.getActiveResourcesInfo().join(', ')}`);
  process.exit();
}, LINGER_MS).unref();

async function main(options: Options): Promise<number> {
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  if (options.list) {
    list();
    return 0;
  }
  const seed = options.seed ?? Math.floor(Date.now() / 1000);
  const nemeses = chosen(() => chooseNemeses(options.nemesis ?? 'all'));
  const workloads = chosen(() => chooseWorkloads(options.workload ?? 'all'));
  const periods = plan(options, seed, nemeses);
  const totalMs = periods.reduce((sum, { lengthMs }) => sum + lengthMs, 0);
  if (options.plan) {
    for (const line of describePlan(periods)) console.log(line);
    return 0;
  }
  const name = `${new Date().toISOString().replaceAll(/[:.]/g, '-')}-${seed}`;
  const folder = join(resolve(options.out), name);
  const line = new ProgressLine(`seed ${seed}`, totalMs);
  const record = await run({
    ...{ workloads, nemeses, nodes: options.nodes, periods, seed, pace: options.pace, folder },
    machine: lookAtMachine(),
    signal: interrupt.signal,
    onProgress: (progress) => line.show(progress),
  });
  line.end();
  // What was gathered until then is judged all the same.
  const summary = summarize(record, await judge(record), commandOf(options, seed));
  writeFileSync(join(folder, 'summary.json'), JSON.stringify(summary, null, 1));
  writeFileSync(join(folder, 'report.html'), htmlReport(summary, []));
  const code = tell(summary, folder);
  return record.interrupted ? 130 : code;
}

function commandOf(options: Options, seed: number): string {
  const { workload, nemesis, nodes, minutes, cycles, pace } = options;
  const length = cycles === null ? `--minutes ${minutes ?? 1}` : `--cycles ${cycles}`;
  const slow = pace === 1 ? '' : ` --pace ${pace}`;
  return `npm run jepsen -- --workload ${workload ?? 'all'} --nemesis ${nemesis ?? 'all'} --nodes ${nodes} ${length}${slow} --seed ${seed}`;
}

function plan(options: Options, seed: number, nemeses: readonly Nemesis[]): Period[] {
  const { cycles, minutes } = options;
  if (cycles !== null) return planCycles({ seed, nemeses, cycles });
  return planPeriods({ seed, nemeses, totalMs: (minutes ?? 1) * 60_000 });
}

function tell(summary: Summary, folder: string): number {
  for (const { workload, verdicts } of summary.verdicts) {
    for (const { valid, checker, operations, text } of verdicts) {
      const word = valid === true ? 'valid  ' : valid === false ? 'INVALID' : 'UNKNOWN';
      const who = workload === checker ? workload : `${workload} by ${checker}`;
      console.log(`${word} ${who} (${operations} operations): ${text}`);
    }
  }
  for (const problem of summary.problems) console.log(`WRONG   ${problem}`);
  const { ok, fail, info } = summary.counts;
  const { events, faults, terms } = summary;
  console.log(
    `${ok} ok, ${fail} fail, ${info} unknown; ${events} events; ${faults.length} faults; term ${terms}`,
  );
  console.log(`report: ${join(folder, 'report.html')}`);
  if (isGood(summary)) return 0;
  console.log(`again:  ${summary.command}`);
  return 1;
}

function list(): void {
  const machine = lookAtMachine();
  console.log('workloads');
  for (const { name, about } of WORKLOADS) console.log(`  ${name.padEnd(20)} ${about}`);
  console.log('\nnemeses');
  for (const { name, about, lacks } of NEMESES) {
    const missing = lacks?.(machine) ?? null;
    const note = missing === null ? '' : `  (not here: ${missing})`;
    console.log(`  ${name.padEnd(20)} ${about}${note}`);
  }
}

function chosen<T>(choose: () => T): T {
  try {
    return choose();
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
