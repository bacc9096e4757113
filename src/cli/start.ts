import { type Command, Option } from 'commander';
import { formatAddress, parseAddress } from '../base/address.js';
import type { FieldName } from '../server/config-fields.js';
import type { ConfigEntry, LoadedConfig } from '../server/load-config.js';
import type { Server } from '../server/server.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { type Column, tableLines } from './table.js';

/**
 * The flag of each field and its line of help. (A test holds that the flags are those of
 * `config-fields`, which takes too long to load for a command that starts no replica.)
 */
const FIELD_FLAGS: { readonly [F in FieldName]: readonly [flag: string, help: string] } = {
  name: ['--name <name>', 'name of this member (needed)'],
  members: [
    '--members <name=host:port,...>',
    'founding members, this one included (needed but for --join)',
  ],
  dataFolder: ['--data <folder>', 'folder for the log and the state (default: balsa-data/NAME)'],
  listen: ['--listen <host:port>', 'where to listen (default: the own address in members)'],
  metricsListen: [
    '--metrics-listen <host:port>',
    'HTTP: /metrics for Prometheus, /healthz, /readyz (default: none)',
  ],
  advertise: ['--advertise <host:port>', 'what others are told (default: as in members)'],
  routes: [
    '--routes <name=host:port,...>',
    'dial these members there, through a tunnel or proxy (default: at their address)',
  ],
  cluster: ['--cluster <name>', 'name of the cluster (default: balsa)'],
  join: ['--join', 'with a new folder: wait until cluster add lets it into a cluster that exists'],
  reseed: ['--reseed', 'if the data is damaged: move it aside and get it anew from the others'],
  logLevel: [
    '--log-level <level>',
    'trace, debug, info, warn, error, fatal, silent (default: info)',
  ],
  electionTimeoutMs: [
    '--election-timeout <duration>',
    'silence that starts an election (default: 750ms)',
  ],
  heartbeatMs: [
    '--heartbeat <duration>',
    'at most a third of the election timeout (default: a fifth of it, and at most 100ms)',
  ],
  electionPriority: [
    '--election-priority <n>',
    'the highest had better lead; 0: only while no other can (default: 100)',
  ],
  leaseReads: [
    '--lease-reads',
    'the leader reads under a lease, without asking (needs steady clocks)',
  ],
  diskStallMs: [
    '--disk-stall <duration>',
    'a leader whose disk takes longer steps down (default: 3s)',
  ],
};

export function startCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'start',
    summary: 'Start a replica; logs go to stdout as JSON lines',
    examples: [
      'balsa start --name n1 --members n1=127.0.0.1:7001        a cluster of one',
      'balsa start --name n1 --members n1=10.0.0.1:7001,n2=10.0.0.2:7001,n3=10.0.0.3:7001',
      'balsa start --name n4 --join --advertise 10.0.0.4:7001   then: balsa cluster add n4 10.0.0.4:7001',
      'balsa start --config /etc/balsa.json --name n2 --print-config',
    ],
  });
  for (const [flag, help] of Object.values(FIELD_FLAGS)) command.option(flag, help);
  command
    .option('--config <file>', 'JSON file with the fields of --print-config, and "limits"')
    .option('--print-config', 'print each value with its source, and exit (-o json: one line each)')
    .addOption(new Option('--unsafe-failpoints <list>', 'tests only').hideHelp())
    .addOption(new Option('--unsafe-formats <list>', 'tests only').hideHelp())
    .addOption(new Option('--unsafe-disk <file>', 'tests only').hideHelp());
  return onRun<Record<string, unknown>>(command, runtime, (context, _args, options) =>
    runStart(context, givenFlags(command), options.printConfig === true),
  );
}

/** Flags of the command line alone: `loadConfig` reads environment and file itself. */
function givenFlags(command: Command): Record<string, string> {
  const flags: Record<string, string> = {};
  for (const option of command.options) {
    const value: unknown = command.getOptionValue(option.attributeName());
    const isFromCommandLine = command.getOptionValueSource(option.attributeName()) === 'cli';
    if (!isFromCommandLine) continue;
    if (typeof value === 'string') flags[option.name()] = value;
    if (value === true) flags[option.name()] = 'true';
  }
  return flags;
}

async function runStart(
  context: Context,
  flags: Record<string, string>,
  isPrintOnly: boolean,
): Promise<ExitCode> {
  const { loadConfig } = await import('../server/load-config.js');
  const loaded = loadConfig({ flags, env: context.io.env });
  if (isPrintOnly) {
    await printConfig(context, loaded);
    return EXIT.done;
  }
  const server = await context.io.startServer(loaded.config);
  sayReady(context, server, loaded);
  return await serve(context, server);
}

/** Until Ctrl-C or SIGTERM (a clean end), or until the replica stops by itself. */
async function serve(context: Context, server: Server): Promise<ExitCode> {
  const interrupted = new Promise<'interrupted'>((resolve) => {
    const onAbort = () => resolve('interrupted');
    if (context.signal.aborted) onAbort();
    else context.signal.addEventListener('abort', onAbort, { once: true });
  });
  const end = await Promise.race([interrupted, server.stopped]);
  if (end === 'interrupted') {
    context.output.say(`balsa: ${server.name} stops`);
    await server.close();
    return EXIT.done;
  }
  if (end !== null) throw end;
  return EXIT.done;
}

function sayReady(context: Context, server: Server, { config }: LoadedConfig): void {
  const { role } = server.status();
  const address = listenAddress(server);
  const ready = `balsa: ${server.name} is ready at ${address}, data in ${config.dataFolder}`;
  if (role.startsWith('joining')) {
    context.output.say(`${ready}; ${role.replace(/^joining, /, '')}`);
    // One that was here before is let in by itself.
    if (role.includes('cluster add')) {
      context.output.say(`next: balsa cluster add ${server.name} ${config.advertise}`);
    }
  } else {
    context.output.say(`${ready}, members ${formatMembers(config.members)}`);
  }
}

function listenAddress(server: Server): string {
  const parsed = parseAddress(server.address);
  return parsed.ok ? formatAddress(parsed.address) : server.address;
}

function formatMembers(members: Readonly<Record<string, string>>): string {
  return Object.entries(members)
    .map(([name, address]) => `${name}=${address}`)
    .join(',');
}

const CONFIG_COLUMNS: readonly Column[] = [
  { title: 'FIELD' },
  { title: 'VALUE' },
  { title: 'SOURCE' },
];

async function printConfig({ output }: Context, { entries }: LoadedConfig): Promise<void> {
  if (output.format === 'json') {
    for (const entry of entries) await output.json(entry);
    return;
  }
  const rows = entries.map((entry) => [entry.field, valueText(entry), entry.source]);
  if (output.format === 'raw') {
    for (const row of rows) await output.line(row.join('\t'));
    return;
  }
  // Never clipped: whoever asks for the configuration wants to see it whole.
  const [titles = '', ...lines] = tableLines(CONFIG_COLUMNS, rows, null);
  await output.line(output.style('bold', titles));
  for (const line of lines) await output.line(line);
}

function valueText({ field, value }: ConfigEntry): string {
  const isMembers = field === 'members' && typeof value === 'object' && value !== null;
  return isMembers ? formatMembers(value as Record<string, string>) : String(value);
}
