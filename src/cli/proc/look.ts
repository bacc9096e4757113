import type { Command } from 'commander';
import { newCommand, onRun, type Runtime } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { printFacts } from '../facts.js';
import type { Output } from '../output.js';
import { printTable } from '../print-table.js';
import { timeText } from '../time-text.js';
import { listDeployed } from './deployed.js';
import { find, parseAlias, parseReference, shortHash, triggerText } from './reference.js';

export function listCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'list',
    summary: 'List the procedures that are deployed',
    examples: ['balsa proc list', 'balsa proc list --alias staging -o json'],
  }).option('--alias <name>', 'only those of this alias', parseAlias);
  return onRun<{ readonly alias?: string }>(command, runtime, async (context, _args, flags) => {
    const { output, signal } = context;
    const all = await context.withClient((client) => listDeployed(client, signal));
    const { alias: wanted } = flags;
    const listed = all.filter(({ alias }) => wanted === undefined || alias === wanted);
    const rows = listed.map(({ name, alias, mode, trigger = null, versions }) => {
      const { hash = '', sinceMs = 0 } = versions[0] ?? {};
      return { name, alias, mode, trigger, hash, sinceMs, versions: versions.length };
    });
    if (output.format === 'json') {
      for (const row of rows) await output.json(row);
      return EXIT.done;
    }
    if (rows.length === 0) output.say('no procedures');
    const cells = rows.map(({ name, alias, mode, trigger, hash, sinceMs, versions }) => [
      ...[name, alias, mode, hashText(output, hash), timeText(sinceMs), String(versions)],
      trigger === null ? '-' : triggerText(trigger),
    ]);
    if (cells.length > 0) await printTable(output, LIST_COLUMNS, cells);
    return EXIT.done;
  });
}

const LIST_COLUMNS = [
  { title: 'PROCEDURE' },
  { title: 'ALIAS' },
  { title: 'MODE' },
  { title: 'CODE' },
  { title: 'SINCE' },
  { title: 'VERSIONS', align: 'right' },
  { title: 'TRIGGER' },
] as const;

export function showCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'show',
    summary: 'Show what a procedure has stood for, the present code first',
    examples: ['balsa proc show transfer', 'balsa proc show transfer@staging -o json'],
  }).argument('<ref>', 'its name: transfer, transfer@staging');
  return onRun(command, runtime, async (context, [text = '']) => {
    const { output, signal } = context;
    const reference = parseReference(text);
    const all = await context.withClient((client) => listDeployed(client, signal));
    const { name, alias, mode, trigger = null, versions } = find(reference, all);
    const rows = versions.map((version, i) => ({ ...version, current: i === 0 }));
    if (output.format === 'json') {
      await output.json({ name, alias, mode, trigger, versions: rows });
      return EXIT.done;
    }
    if (output.format === 'table') {
      await printFacts(output, [
        ['procedure', name],
        ['alias', alias],
        ['mode', MODES[mode] ?? mode],
        ...(trigger === null ? [] : [['trigger', `writes to ${triggerText(trigger)}`] as const]),
      ]);
    }
    const cells = rows.map(({ hash, sinceMs, current }) => [
      ...[hashText(output, hash), timeText(sinceMs), current ? 'current' : ''],
    ]);
    await printTable(output, [{ title: 'CODE' }, { title: 'SINCE' }, { title: 'STANDS' }], cells);
    return EXIT.done;
  });
}

const MODES: Readonly<Record<string, string>> = {
  cp: 'cp: a transaction',
  read: 'read: reads only, at any replica',
  ap: 'ap: writes mergeable cells, at any replica, also alone',
};

/** Scripts want it whole. */
function hashText({ format }: Output, hash: string): string {
  return format === 'table' ? shortHash(hash) : hash;
}
