import { randomInt } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type Command, InvalidArgumentError } from 'commander';
import { connect } from '../client/client.js';
import { LocalCluster } from '../cluster/local-cluster.js';
import { newCommand } from './command.js';
import { findNodeModules, readRecords } from './demo/documents.js';
import { type Keyboard, stay } from './demo/interactive.js';
import { formatPairs, formatReport } from './demo/report.js';
import { playStory } from './demo/story.js';
import { type Screen, Teller } from './demo/teller.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { parseCount } from './flags.js';
import type { Format } from './output.js';

export interface DemoOptions {
  /** Odd, at least 3: one of them is killed. Default 3. */
  readonly replicas?: number | undefined;
  /** Where the data goes. Default: a temporary folder, removed at the end. */
  readonly folder?: string | undefined;
  /** Leave a temporary folder where it is. */
  readonly keep?: boolean | undefined;
  /** Of the order of the writes and the moment of the kill. Default: any. */
  readonly seed?: number | undefined;
  /** How often all records are written, at least. Default: so often that it makes 20,000 writes. */
  readonly rounds?: number | undefined;
  /** On a terminal: keep the cluster up afterwards and obey keys. Default true. */
  readonly stay?: boolean | undefined;
  readonly output?: Format | undefined;
}

/** The terminal of the process, or what a test puts in its place. */
export interface DemoTerminal {
  readonly stdout: Screen;
  readonly stderr: Screen;
  readonly stdin: Keyboard & { readonly isTTY?: boolean | undefined };
}

const WRITES_MIN = 20_000;

/** `balsa demo`. */
export function demoCommand(): Command {
  return newCommand({
    name: 'demo',
    summary:
      'Load a cluster of real processes here, kill its leader, and prove that nothing is lost',
    examples: [
      'balsa demo                        then keep the cluster up to try things',
      'balsa demo --no-stay -o json      print the figures as JSON',
      'balsa demo --seed 7 --rounds 20   a longer one, whose load can be repeated',
    ],
  })
    .option('--replicas <n>', 'number of replicas: 3, 5, 7 or 9', parseReplicas, 3)
    .option('--folder <path>', 'where the data goes (default: a temporary folder)')
    .option('--keep', 'leave the temporary folder where it is')
    .option('--seed <n>', 'order of the writes and moment of the kill (default: any)', parseSeed)
    .option('--rounds <n>', 'how often all keys are written, at least', parseCount)
    .option('--no-stay', 'exit when the proof is done, also on a terminal')
    .addHelpText('after', '\nExit code 0: nothing was lost, applied twice or different; else 1.')
    .action(async (_options: unknown, command: Command) => {
      process.exitCode = await runDemo(command.optsWithGlobals());
    });
}

/** @returns the exit code */
export async function runDemo(
  options: DemoOptions,
  terminal: DemoTerminal = process,
): Promise<ExitCode> {
  const json = options.output === 'json';
  const teller = new Teller(json ? terminal.stderr : terminal.stdout, terminal.stderr);
  const interrupt = new AbortController();
  // Each call under way listens to it.
  setMaxListeners(0, interrupt.signal);
  const onSignal = (): void => interrupt.abort();
  // Once: a second Ctrl-C ends this process at once, and the replicas with it.
  for (const signal of SIGNALS) process.once(signal, onSignal);
  try {
    return await playAndStay({ options, terminal, teller, signal: interrupt.signal });
  } catch (error) {
    teller.end();
    if (!interrupt.signal.aborted) throw error;
    teller.say('Interrupted; all replicas are stopped.');
    return EXIT.interrupted;
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

interface Play {
  readonly options: DemoOptions;
  readonly terminal: DemoTerminal;
  readonly teller: Teller;
  readonly signal: AbortSignal;
}

async function playAndStay({ options, terminal, teller, signal }: Play): Promise<ExitCode> {
  const json = options.output === 'json';
  const seed = options.seed ?? randomInt(2 ** 32);
  const source = findNodeModules([fileURLToPath(new URL('.', import.meta.url)), process.cwd()]);
  const records = readRecords(source);
  teller.say(`Balsa demo, seed ${seed}`);
  await using cluster = await startCluster(options, teller);
  signal.throwIfAborted();
  await using db = await connect({ endpoints: cluster.endpoints, clientName: 'demo' });
  teller.say(`Data: ${source} (package.json of every installed package, whole and by field)`);
  const report = await playStory({
    cluster,
    db,
    records,
    seed,
    rounds: options.rounds ?? Math.ceil(WRITES_MIN / records.length),
    teller,
    signal,
  });
  teller.say();
  teller.say(formatReport(report));
  if (json) terminal.stdout.write(`${JSON.stringify(report)}\n`);
  if (staysUp(options, terminal))
    await stay({ cluster, db, records, teller, signal }, terminal.stdin);
  if (options.keep === true || options.folder !== undefined) {
    teller.say(`The data stays in ${cluster.folder}`);
  }
  return report.verdict === 'passed' ? EXIT.done : EXIT.failed;
}

async function startCluster(options: DemoOptions, teller: Teller): Promise<LocalCluster> {
  const startedMs = performance.now();
  const cluster = await LocalCluster.start({
    replicas: options.replicas,
    folder: options.folder,
    keep: options.keep,
    cluster: 'demo',
  });
  const tookMs = Math.round(performance.now() - startedMs);
  const leader = await cluster.leader();
  teller.say(`${cluster.replicas.length} replica processes in ${cluster.folder}:`);
  teller.say(formatPairs(cluster.replicas.map((r) => [r.name, r.address, `pid ${r.pid}`])));
  teller.say(`  ${leader} was elected leader ${tookMs} ms after the start`);
  return cluster;
}

function staysUp(options: DemoOptions, terminal: DemoTerminal): boolean {
  const atTerminal = terminal.stdin.isTTY === true && terminal.stdout.isTTY === true;
  return atTerminal && options.stay !== false && options.output !== 'json';
}

function parseSeed(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a whole number from 0.');
}

function parseReplicas(text: string): number {
  if (['3', '5', '7', '9'].includes(text)) return Number(text);
  throw new InvalidArgumentError('It must be 3, 5, 7 or 9.');
}
