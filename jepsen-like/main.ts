import { join, resolve } from 'node:path';
import { lookAtMachine } from './cluster/machine.js';
import { chooseNemeses, NEMESES } from './nemeses/nemeses.js';
import type { Nemesis } from './nemeses/nemesis.js';
import { describePlan, type Period, planCycles, planPeriods } from './nemeses/schedule.js';
import { HELP, type Options, parseOptions, UsageError } from './options.js';
import { judge, type WorkloadVerdict } from './run/judge.js';
import { ProgressLine } from './run/progress.js';
import { type RunRecord, run } from './run/run.js';
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
  const line = new ProgressLine(`seed ${seed}`, totalMs);
  const record = await run({
    ...{ workloads, nemeses, nodes: options.nodes, periods, seed, pace: options.pace },
    folder: join(resolve(options.out), name),
    machine: lookAtMachine(),
    signal: interrupt.signal,
    onProgress: (progress) => line.show(progress),
  });
  line.end();
  if (record.interrupted) return 130;
  return tell(record, await judge(record));
}

function plan(options: Options, seed: number, nemeses: readonly Nemesis[]): Period[] {
  const { cycles, minutes } = options;
  if (cycles !== null) return planCycles({ seed, nemeses, cycles });
  return planPeriods({ seed, nemeses, totalMs: (minutes ?? 1) * 60_000 });
}

function tell(record: RunRecord, verdicts: readonly WorkloadVerdict[]): number {
  for (const { workload, verdicts: all } of verdicts) {
    for (const { valid, checker, operations, text, tookMs } of all) {
      const word = valid === true ? 'valid  ' : valid === false ? 'INVALID' : 'UNKNOWN';
      console.log(
        `${word} ${workload} (${checker}, ${operations}, ${tookMs.toFixed(0)} ms): ${text}`,
      );
    }
  }
  for (const problem of record.problems) console.log(`WRONG   ${problem}`);
  const { ok, fail, info } = record.observer.counts;
  console.log(
    `${ok} ok, ${fail} fail, ${info} info; ${record.events} events; term ${record.terms}`,
  );
  console.log([...record.injected].map(([what, count]) => `${what} ${count}`).join(', '));
  const isValid = verdicts.every(({ verdicts: all }) => all.every(({ valid }) => valid === true));
  return isValid && record.problems.length === 0 ? 0 : 1;
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
