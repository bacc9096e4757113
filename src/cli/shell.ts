import type { Command } from 'commander';
import { newCommand, onRun, type Runtime } from './command.js';
import type { CliIo } from './io.js';

interface ShellFlags {
  readonly command?: readonly string[];
  readonly history?: string;
}

/** What the shell needs of the program around it. */
export interface ShellHost {
  /** Runs one command line. @returns the exit code */
  run(args: readonly string[], io: CliIo): Promise<number>;
  /** The commands, for completion and hints. */
  program(): Promise<Command>;
}

export function shellCommand(runtime: Runtime, host: ShellHost): Command {
  const command = newCommand({
    name: 'shell',
    summary: 'A prompt for all commands, with one connection, history and completion',
    details: SHELL_HELP,
    examples: [
      'balsa shell',
      "balsa shell --command 'put a 1' --command 'get a'",
      "printf 'put a 1\\nget a\\n' | balsa shell    the exit code is that of the last command",
    ],
  })
    .option('--command <line>', 'run this line instead of asking; may be repeated', collect)
    .option('--history <path>', 'where lines are kept; off: nowhere (default: the state folder)');
  return onRun<ShellFlags>(command, runtime, async (context, _args, flags) => {
    const { Shell } = await import('./shell/shell.js');
    const shell = new Shell(context, host);
    try {
      if (flags.command === undefined) return await shell.interact(flags.history);
      return await shell.runLines(flags.command);
    } finally {
      await shell.close();
    }
  });
}

const SHELL_HELP = `
Lines are those of the command without "balsa"; flags that were given to the shell hold for all of them.
The text of a txn without a file is in the lines that follow, until one with . alone or the end.
.help shows the commands that begin with a dot. Tab completes commands, flags and keys; Ctrl-C ends the
command that runs, Ctrl-D the shell. Lines that begin with a blank are not kept in the history.`;

function collect(line: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), line];
}
