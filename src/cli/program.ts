import { Command, CommanderError } from 'commander';
import { VERSION } from '../server/version.js';
import { benchCommand } from './bench.js';
import { clusterCommand } from './cluster.js';
import { commandPath, type Runtime } from './command.js';
import { compactCommand } from './compact.js';
import { addGlobalOptions } from './context.js';
import { countCommand } from './count.js';
import { delCommand } from './del.js';
import { deployCommand } from './deploy.js';
import { devCommand } from './dev.js';
import { type ReportFlags, reportError } from './errors-to-exit.js';
import { EXIT, type ExitCode, exitCodesHelp } from './exit-codes.js';
import { applyEnvironment } from './flags.js';
import { getCommand } from './get.js';
import { importCommand } from './import.js';
import { infoCommand } from './info.js';
import type { CliIo } from './io.js';
import { jobCommand } from './job.js';
import { leaseCommand } from './lease.js';
import { electCommand, lockCommand } from './lock.js';
import { namespaceCommand } from './namespace.js';
import { hasColors } from './output.js';
import { procCommand } from './proc.js';
import { putCommand } from './put.js';
import { rangeCommand } from './range.js';
import { recoverCommand } from './recover.js';
import { settingsCommand } from './settings.js';
import { shellCommand } from './shell.js';
import { snapshotCommand } from './snapshot.js';
import { startCommand } from './start.js';
import { statusCommand } from './status.js';
import { txnCommand } from './txn.js';
import { asksForJson, UsageTalk, usageError } from './usage-talk.js';
import { walCommand } from './wal.js';
import { watchCommand } from './watch.js';
import { workerCommand } from './worker.js';

/**
 * Runs one command line (`args` without node and script) in the world `io`.
 *
 * @returns the exit code; errors are told on stderr, not thrown
 */
export async function runCli(args: readonly string[], io: CliIo): Promise<number> {
  const dashes = args.indexOf('--');
  const behindDashes = dashes === -1 ? null : args.slice(dashes + 1);
  const runtime: Runtime = { io, exit: EXIT.done, behindDashes };
  const usage = new UsageTalk(io, asksForJson(args, io.env));
  const program = await buildProgram(runtime, args, usage);
  let command = '';
  let actionFlags: ReportFlags = {};
  program.hook('preAction', (_program, action) => {
    command = commandPath(action);
    applyEnvironment(action, io.env);
    actionFlags = action.optsWithGlobals();
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return runtime.exit;
  } catch (error) {
    // Commander has told what is wrong; `exitCode` 0 is that of --help and --version.
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.done;
      if (!usage.isJson) return EXIT.usage;
      const flags = { output: 'json' } as const;
      return reportError(io, { error: usageError(error, usage.told), command, flags });
    }
    const flags = { ...program.opts<ReportFlags>(), ...actionFlags };
    return reportError(io, { error, command, flags });
  }
}

async function buildProgram(
  runtime: Runtime,
  args: readonly string[],
  usage = new UsageTalk(runtime.io, false),
): Promise<Command> {
  const { io } = runtime;
  const program = new Command('balsa')
    .description(
      'A replicated key-value store: start replicas, read, write, look after the cluster.',
    )
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .showHelpAfterError('try: balsa --help')
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => usage.tell(text),
      getOutHelpWidth: () => io.stdout.columns || 100,
      getErrHelpWidth: () => io.stderr.columns || 100,
      getOutHasColors: () => hasColors(io.stdout, io.env),
      getErrHasColors: () => hasColors(io.stderr, io.env),
    })
    .addHelpText('after', () => `\n${ENVIRONMENT_HELP}\n\n${exitCodesHelp()}`);
  addGlobalOptions(program);
  for (const command of await commands(runtime, args)) {
    program.addCommand(command);
    inheritSettings(command, program);
  }
  return program;
}

/** The global options are those of clients; these commands are none. */
const OFFLINE = [
  'start',
  'demo',
  'dev',
  'wal inspect',
  'wal verify',
  'recover',
  'snapshot restore',
  'snapshot inspect',
];

function inheritSettings(command: Command, parent: Command): void {
  const path = commandPath(command);
  command.copyInheritedSettings(parent);
  command.showHelpAfterError(`try: balsa ${path} --help`);
  if (OFFLINE.includes(path)) command.configureHelp({ showGlobalOptions: false });
  if (command.commands.length > 0) command.helpCommand(false);
  for (const child of command.commands) inheritSettings(child, command);
}

const ENVIRONMENT_HELP = `Environment:
  Every flag has a variable, BALSA_ and its name in upper snake case: BALSA_ENDPOINTS is
  --endpoints, BALSA_LOG_LEVEL is --log-level. The flag comes first, then the variable, then the
  file of --config, then the default. NO_COLOR=1 turns colours off, BALSA_DEBUG=1 shows stacks.`;

async function commands(runtime: Runtime, args: readonly string[]): Promise<Command[]> {
  return [
    startCommand(runtime),
    putCommand(runtime),
    getCommand(runtime),
    delCommand(runtime),
    rangeCommand(runtime),
    countCommand(runtime),
    txnCommand(runtime),
    watchCommand(runtime),
    leaseCommand(runtime),
    lockCommand(runtime),
    electCommand(runtime),
    importCommand(runtime),
    benchCommand(runtime),
    compactCommand(runtime),
    infoCommand(runtime),
    settingsCommand(runtime),
    namespaceCommand(runtime),
    deployCommand(runtime),
    procCommand(runtime),
    jobCommand(runtime),
    workerCommand(runtime),
    devCommand(runtime),
    statusCommand(runtime),
    clusterCommand(runtime),
    snapshotCommand(runtime),
    walCommand(runtime),
    recoverCommand(runtime),
    shellCommand(runtime, {
      run: runCli,
      program: () => buildProgram(runtime, []),
    }),
    await demoCommand(runtime, args),
  ];
}

/** The demo brings client and replicas with it: it is loaded only when it is asked for. */
async function demoCommand(runtime: Runtime, args: readonly string[]): Promise<Command> {
  if (!args.includes('demo')) {
    return new Command('demo').description(
      'Start a cluster on this machine, kill its leader, watch',
    );
  }
  const demo = (await import('./demo.js')).demoCommand();
  demo.hook('postAction', () => {
    runtime.exit = demoExit();
  });
  return demo;
}

/** The demo leaves its exit code with the process. */
function demoExit(): ExitCode {
  const exits: readonly ExitCode[] = Object.values(EXIT);
  return exits.find((exit) => exit === Number(process.exitCode ?? 0)) ?? EXIT.failed;
}
