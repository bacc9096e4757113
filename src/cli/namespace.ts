import type { Command } from 'commander';
import { newCommand, newGroup, onRun, type Runtime } from './command.js';
import { EXIT } from './exit-codes.js';
import { parseSize } from './flags.js';
import { keyText, parseKey } from './key-argument.js';
import { printDone } from './print-done.js';
import { printTable } from './print-table.js';
import { jsonBytes } from './printable.js';
import { formatCount } from './progress.js';
import { bytesText } from './snapshot/bytes-text.js';

interface SetFlags {
  readonly prefix?: string;
  readonly quota?: number;
}

/** Namespaces: many applications on one cluster, each with its keys and its quota. */
export function namespaceCommand(runtime: Runtime): Command {
  return newGroup('namespace', 'Namespaces: key prefixes with a quota each', [
    setCommand(runtime),
    listCommand(runtime),
    removeCommand(runtime),
  ]);
}

function setCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'set',
    summary: 'Make a namespace, or change its quota',
    examples: [
      'balsa namespace set shop --quota 64MiB    and then: balsa --namespace shop put item/1 apple',
      'balsa namespace set shop --quota 0        no bound any more',
      'balsa namespace set old --prefix legacy-  then it is --namespace prefix:legacy-',
    ],
  })
    .argument('<name>', 'its name')
    .option('--prefix <text>', 'what its keys begin with; default: NAME/')
    .option('--quota <size>', 'most bytes of its keys and values; 0: no bound', parseSize, 0);
  return onRun<SetFlags>(command, runtime, async (context, [name = ''], { prefix, quota }) => {
    const { output, signal } = context;
    const key = prefix === undefined ? undefined : parseKey(prefix);
    const { revision } = await context.withClient((client) =>
      client.namespaces.set(name, { prefix: key, quotaBytes: quota, signal }),
    );
    const shown = jsonBytes('prefix', Buffer.from(key ?? `${name}/`));
    const json = { name, ...shown, quotaBytes: quota ?? 0 };
    await printDone(output, { json, revision, word: 'set' });
    return EXIT.done;
  });
}

function listCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'list',
    summary: 'List the namespaces, and how much they hold',
    examples: ['balsa namespace list', 'balsa namespace list -o json'],
  });
  return onRun(command, runtime, async (context) => {
    const { output, signal } = context;
    const namespaces = await context.withClient((client) => client.namespaces.list({ signal }));
    if (output.format === 'json') {
      for (const { prefix, ...rest } of namespaces) {
        await output.json({ ...rest, ...jsonBytes('prefix', prefix) });
      }
      return EXIT.done;
    }
    if (namespaces.length === 0) output.say('no namespaces');
    const isTable = output.format === 'table';
    const size = (bytes: number): string => (isTable ? bytesText(bytes) : String(bytes));
    const rows = namespaces.map(({ name, prefix, keys, usedBytes, quotaBytes }) => [
      name,
      keyText(prefix),
      isTable ? formatCount(keys) : String(keys),
      size(usedBytes),
      isTable && quotaBytes === 0 ? '-' : size(quotaBytes),
    ]);
    if (rows.length > 0) await printTable(output, COLUMNS, rows);
    return EXIT.done;
  });
}

const COLUMNS = [
  { title: 'NAMESPACE' },
  { title: 'PREFIX' },
  { title: 'KEYS', align: 'right' },
  { title: 'USED', align: 'right' },
  { title: 'QUOTA', align: 'right' },
] as const;

function removeCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'remove',
    summary: 'Forget a namespace and its quota; its keys stay. Exit code 3 when there is none',
    examples: ['balsa namespace remove shop', 'balsa namespace remove shop -o json'],
  }).argument('<name>', 'its name');
  return onRun(command, runtime, async (context, [name = '']) => {
    const { output, signal } = context;
    const { revision } = await context.withClient((client) =>
      client.namespaces.remove(name, { signal }),
    );
    const rest = '; its keys are still there';
    await printDone(output, { json: { name, revision }, revision, word: 'removed', rest });
    return EXIT.done;
  });
}
