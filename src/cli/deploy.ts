import type { Command } from 'commander';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { type Change, changesOf, hasChanges, warningsOf } from './deploy/changes.js';
import { prepare } from './deploy/prepare.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { printTable } from './print-table.js';
import { listDeployed } from './proc/deployed.js';
import { DEFAULT_ALIAS, parseAlias, shortHash, triggerText } from './proc/reference.js';
import { bytesText } from './snapshot/bytes-text.js';
import { ofWholeCluster } from './whole-cluster.js';

export interface DeployFlags {
  readonly alias: string;
  readonly dryRun?: boolean;
  readonly typecheck: boolean;
}

export function deployCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'deploy',
    summary: 'Bring stored procedures to the cluster: those that a file of TypeScript exports',
    details: DEPLOY_HELP,
    examples: [
      'balsa deploy bank.ts                   and then: balsa proc call transfer \'{"from":"ada",...}\'',
      'balsa deploy bank.ts --dry-run         what would change; nothing is written',
      'balsa deploy bank.ts --alias staging   called as transfer@staging; prod stays as it is',
    ],
  })
    .argument('<file>', 'a module of TypeScript or JavaScript; see balsa/procedures')
    .option('--alias <name>', 'the name under which they are called', parseAlias, DEFAULT_ALIAS)
    .option('--dry-run', 'say what would change, and change nothing')
    .option('--no-typecheck', 'do not look whether the types are right');
  return onRun<DeployFlags>(ofWholeCluster(command), runtime, (context, [file = ''], flags) =>
    runDeploy(context, file, flags),
  );
}

const DEPLOY_HELP = `
The file and all that it imports become one piece of code, which is known by the hash of its content.
Each procedure that it exports stands for that code from now on; what it stood for before stays, to go
back to (balsa proc rollback): a change of any of them, or of what the file imports, changes the code of all.
Procedures of the alias that the file does not define stay as they are.
Types are checked with the TypeScript that is installed beside the file, and with the tsconfig.json that
holds for it, but without what the sandbox does not have.`;

async function runDeploy(context: Context, file: string, flags: DeployFlags): Promise<ExitCode> {
  const { output, signal } = context;
  const bundle = await prepare(file, {
    types: flags.typecheck,
    signal,
    onUnchecked: (why) => output.say(uncheckedText(why)),
  });
  const { alias, dryRun = false } = flags;
  return await context.withClient(async (client) => {
    const deployed = await listDeployed(client, signal);
    const changes = changesOf(bundle, alias, deployed);
    const isNeeded = hasChanges(changes);
    for (const warning of warningsOf(changes)) {
      output.say(`${output.styleTalk('yellow', 'warning')}: ${warning}`);
    }
    // Before anything is printed: whoever reads no further, as head does, ends this process.
    if (isNeeded && !dryRun) await client.procedures.deploy(bundle, { alias, signal });
    if (output.format !== 'json') await printChanges(context, changes);
    const { hash } = bundle;
    const bytes = Buffer.byteLength(bundle.code);
    if (output.format === 'json') {
      const about = { file, alias, hash, bytes, dryRun, deployed: isNeeded && !dryRun };
      await output.json({ ...about, procedures: changes });
    }
    const what = `${file} as ${alias}, ${shortHash(hash)} (${bytesText(bytes)})`;
    if (!isNeeded) output.say(`nothing has changed: ${what}, is deployed already`);
    else if (dryRun) output.say(`nothing was written; without --dry-run it deploys ${what}`);
    else output.say(`${output.styleTalk('green', 'deployed')} ${what}`);
    return EXIT.done;
  });
}

export function uncheckedText(why: string): string {
  return `types are not checked: ${why}`;
}

const COLUMNS = [
  { title: 'PROCEDURE' },
  { title: 'MODE' },
  { title: 'CHANGE' },
  { title: 'CODE' },
] as const;

async function printChanges({ output }: Context, changes: readonly Change[]): Promise<void> {
  const isTable = output.format === 'table';
  const hash = (text: string | null): string =>
    text === null ? '-' : isTable ? shortHash(text) : text;
  if (!isTable) {
    const titles = ['PROCEDURE', 'MODE', 'CHANGE', 'BEFORE', 'CODE', 'TRIGGER'];
    const columns = titles.map((title) => ({ title }));
    const rows = changes.map(({ name, mode, kind, from, to, trigger }) => [
      ...[name, mode, kind, hash(from), hash(to)],
      trigger === null ? '-' : triggerText(trigger),
    ]);
    return await printTable(output, columns, rows);
  }
  const rows = changes.map((change) => [
    ...[change.name, modeText(change), kindText(change), codeText(change)],
  ]);
  await printTable(output, COLUMNS, rows);
}

/** `read → cp`; `cp, on orders/`; `cp, on orders/ → none` */
function modeText({ mode, modeBefore, trigger, triggerBefore }: Change): string {
  const shown = (prefix: string | null): string => (prefix === null ? 'none' : triggerText(prefix));
  const before = modeBefore === undefined ? '' : `${modeBefore} → `;
  const triggerWas = triggerBefore === undefined ? '' : `${shown(triggerBefore)} → `;
  const isCalled = trigger !== null || triggerWas !== '';
  return `${before}${mode}${isCalled ? `, on ${triggerWas}${shown(trigger)}` : ''}`;
}

/** The code is that of the whole file: whether the procedure itself is another one nobody can tell. */
function kindText({ kind }: Change): string {
  return kind === 'changed' ? 'bundle changed' : kind;
}

/** `c763c1d23e24 → 9f31aa02b7d4` */
export function codeText({ kind, from, to }: Change): string {
  if (kind !== 'changed' || from === null) return shortHash(to);
  return `${shortHash(from)} → ${shortHash(to)}`;
}
