import { type Command, Option } from 'commander';
import { formatAddress, parseAddress } from '../base/address.js';
import type { ConfigEntry, LoadedConfig } from '../server/load-config.js';
import type { Server } from '../server/server.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { type Column, tableLines } from './table.js';

export function startCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'start',
    summary: 'Start a replica; logs go to stdout as JSON lines',
    examples: [
      'balsa start --name n1 --members n1=127.0.0.1:7001        a cluster of one',
      'balsa start --name n1 --members n1=10.0.0.1:7001,n2=10.0.0.2:7001,n3=10.0.0.3:7001',
      'BALSA_NAME=n2 balsa start --config /etc/balsa.json       members and the rest from a file',
      'balsa start --config /etc/balsa.json --name n2 --print-config',
    ],
  })
    .option('--name <name>', 'name of this member (needed)')
    .option('--members <name=host:port,...>', 'all members, this one included (needed)')
    .option('--data <folder>', 'folder for the log and the state (default: balsa-data/NAME)')
    .option('--listen <host:port>', 'where to listen (default: the own address in members)')
    .option('--advertise <host:port>', 'what others are told (default: as in members)')
    .option('--cluster <name>', 'name of the cluster (default: balsa)')
    .option('--config <file>', 'JSON file with the fields of --print-config, and "limits"')
    .option('--log-level <level>', 'trace, debug, info, warn, error, fatal, silent (default: info)')
    .option('--election-timeout <duration>', 'silence that starts an election (default: 750ms)')
    .option('--heartbeat <duration>', 'at most a third of the election timeout (default: 100ms)')
    .option('--print-config', 'print each value with its source, and exit (-o json: one line each)')
    .addOption(new Option('--unsafe-failpoints <list>', 'tests only').hideHelp());
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
    if (isFromCommandLine && typeof value === 'string') flags[option.name()] = value;
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
  const members = formatMembers(config.members);
  context.output.say(
    `balsa: ${server.name} is ready at ${listenAddress(server)}, data in ${config.dataFolder}, members ${members}`,
  );
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
