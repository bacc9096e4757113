import { parseArgs } from 'node:util';

/** What the command line asks for. */
export interface Options {
  readonly workload: string | null;
  readonly nemesis: string | null;
  readonly nodes: number;
  readonly network: 'proxies' | 'namespaces';
  readonly minutes: number | null;
  readonly cycles: number | null;
  readonly seed: number | null;
  readonly pace: number;
  /** `null`: the seed decides. */
  readonly leaseReads: boolean | null;
  readonly out: string;
  /** Names, separated by commas; empty: all. `null`: no hunt. */
  readonly mutations: string | null;
  readonly matrix: boolean;
  readonly list: boolean;
  readonly plan: boolean;
  readonly help: boolean;
}

export const HELP = `Real replicas, real faults, and checkers that judge what the clients were told.

  npm run jepsen                                  the whole suite in brief (a few minutes)
  npm run jepsen -- --workload W --nemesis N      one run; W and N: names, separated by commas, or all
                    --nodes 5 --minutes M         replicas (default 5), length (default 1)
                    --cycles C                    instead of minutes: so many times one fault and its end
                    --seed S                      the schedule of faults and the clients' dice (default: the time)
                    --network namespaces          packet filters of the kernel instead of proxies (root)
                    --pace 2                      clients wait so many times as long between two operations
                    --lease-reads yes|no          leaders read under a lease (default: with odd seeds)
                    --plan                        show the schedule, and do nothing
  npm run jepsen -- --mutations                   does it bite? Replicas with historical bugs must be caught
                    --only A,B                    some of them, by name
  npm run jepsen -- --matrix                      one fault after the other; makes the table of the README
  npm run jepsen -- --list                        workloads, nemeses, and what this machine lacks for them
                    --out FOLDER                  where histories, logs and reports go (default .jepsen)

Ends with exit code 1 when anything was wrong or could not be decided, 130 when interrupted.`;

export class UsageError extends Error {}

/** @throws UsageError */
export function parseOptions(args: readonly string[]): Options {
  const { values } = read(args);
  const nodes = numberOf('nodes', values.nodes ?? '5', 1, 9);
  return {
    workload: values.workload ?? null,
    nemesis: values.nemesis ?? null,
    nodes,
    network: networkOf(values.network),
    minutes:
      values.minutes === undefined ? null : numberOf('minutes', values.minutes, 0.01, 100_000),
    cycles: values.cycles === undefined ? null : numberOf('cycles', values.cycles, 1, 1e6),
    seed: values.seed === undefined ? null : numberOf('seed', values.seed, 0, 2 ** 40),
    pace: numberOf('pace', values.pace ?? '1', 0.01, 1000),
    leaseReads: yesOrNo('lease-reads', values['lease-reads']),
    out: values.out ?? '.jepsen',
    mutations: values.mutations === true ? (values.only ?? '') : null,
    matrix: values.matrix ?? false,
    list: values.list ?? false,
    plan: values.plan ?? false,
    help: values.help ?? false,
  };
}

function read(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        workload: { type: 'string' },
        nemesis: { type: 'string' },
        nodes: { type: 'string' },
        network: { type: 'string' },
        minutes: { type: 'string' },
        cycles: { type: 'string' },
        seed: { type: 'string' },
        pace: { type: 'string' },
        'lease-reads': { type: 'string' },
        out: { type: 'string' },
        mutations: { type: 'boolean' },
        only: { type: 'string' },
        matrix: { type: 'boolean' },
        list: { type: 'boolean' },
        plan: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function networkOf(name = 'proxies'): Options['network'] {
  if (name === 'proxies' || name === 'namespaces') return name;
  throw new UsageError(`--network must be proxies or namespaces, found ${name}`);
}

function yesOrNo(name: string, text: string | undefined): boolean | null {
  if (text === undefined) return null;
  if (text === 'yes' || text === 'no') return text === 'yes';
  throw new UsageError(`--${name} must be yes or no, found ${text}`);
}

function numberOf(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= min && value <= max) return value;
  throw new UsageError(`--${name} must be a number from ${min} to ${max}, found ${text}`);
}
