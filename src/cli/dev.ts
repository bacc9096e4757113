import type { Command } from 'commander';
import { newCommand, onRun, type Runtime } from './command.js';
import { DEFAULT_ALIAS, parseAlias } from './proc/reference.js';

export interface DevFlags {
  readonly folder?: string;
  readonly alias: string;
  readonly typecheck: boolean;
}

export function devCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'dev',
    summary: 'Write procedures: a cluster on this machine that gets them at each save',
    details: DEV_HELP,
    examples: [
      'balsa dev bank.ts',
      'balsa dev bank.ts --folder ./dev-data    what is stored is there the next time, too',
      'balsa dev bank.ts -o json                one object for each thing that happens',
    ],
  })
    .argument('<file>', 'a module of TypeScript or JavaScript; see balsa/procedures')
    .option(
      '--folder <path>',
      'where the data goes (default: a temporary folder, removed at the end)',
    )
    .option('--alias <name>', 'the name under which they are called', parseAlias, DEFAULT_ALIAS)
    .option('--no-typecheck', 'do not look whether the types are right');
  return onRun<DevFlags>(command, runtime, async (context, [file = ''], flags) => {
    const { runDev } = await import('./dev/run-dev.js');
    return await runDev(context, file, flags);
  });
}

const DEV_HELP = `
Starts three replicas, deploys the procedures that the file exports, and does so again whenever the file or
something that it imports is saved. What is wrong with it is said, and it goes on. What procedures log is
printed as it comes. Ctrl-C ends it; the exit code is 0 then.`;
