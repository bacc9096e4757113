import { resolve } from 'node:path';
import { lookAtMachine } from './cluster/machine.js';
import { makeMatrix } from './make-matrix.js';
import { huntMutations } from './mutations/hunt.js';
import { chooseNemeses, NEMESES } from './nemeses/nemeses.js';
import { describePlan } from './nemeses/schedule.js';
import { HELP, type Options, parseOptions, UsageError } from './options.js';
import { placesText } from './report/places-text.js';
import { isGood, readsText } from './report/summary.js';
import { type Conducted, conduct, planOf, type RunSpec } from './run/conduct.js';
import { briefSuite } from './suite.js';
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
  const code = await main(parseOptions(process.argv.slice(2)));
  // Node 20 was seen to spin for ever while it closed the handles of a run in which sockets were half open.
  process.exit(code);
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
  const out = resolve(options.out);
  const { signal } = interrupt;
  if (options.mutations !== null) return huntMutations(options.mutations, { out, signal });
  if (options.matrix) return makeMatrix({ out, signal, seed: options.seed ?? 1 });
  const specs = specsOf(options);
  if (options.plan) {
    for (const spec of specs) {
      const lines = describePlan(planOf(spec, chooseNemeses(spec.nemesis)));
      console.log([`${spec.workload} on ${spec.nodes} replicas`, ...lines].join('\n'));
    }
    return 0;
  }
  let bad = 0;
  for (const spec of specs) {
    const conducted = await conduct(spec, { out, signal });
    bad += tell(conducted);
    if (conducted.interrupted) return 130;
  }
  if (specs.length > 1) console.log(`${specs.length - bad} of ${specs.length} runs were good`);
  return bad === 0 ? 0 : 1;
}

function specsOf(options: Options): RunSpec[] {
  const seed = options.seed ?? Math.floor(Date.now() / 1000);
  const { workload, nemesis, nodes, network, minutes, cycles, pace, leaseReads } = options;
  const isSuite = workload === null && nemesis === null && minutes === null && cycles === null;
  if (isSuite) return briefSuite({ seed, pace, leaseReads });
  const spec = {
    ...{ workload: workload ?? 'all', nemesis: nemesis ?? 'all', minutes: minutes ?? 1 },
    ...{ nodes, network, cycles, pace, seed, leaseReads, isTimed: cycles === null },
  };
  check(() => chooseNemeses(spec.nemesis));
  check(() => chooseWorkloads(spec.workload));
  return [spec];
}

/** @returns 1 when something was wrong, else 0 */
function tell({ summary, folder }: Conducted): number {
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
  const numbers = `${ok} served, ${fail} not done, ${info} unknown; ${events} events; ${faults.length} faults`;
  console.log(`${numbers}; last term ${terms}; ${folder}/report.html`);
  console.log(readsText(summary));
  if (summary.leftOut.length > 0) console.log(`left out: ${summary.leftOut.join(', ')}`);
  const { withoutTurn } = summary;
  if (withoutTurn.length > 0) console.log(`without a turn: ${withoutTurn.join(', ')}`);
  const places = placesText(summary.injected);
  if (places !== null) console.log(places);
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

function check(choose: () => unknown): void {
  try {
    choose();
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
