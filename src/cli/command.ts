import { Command } from 'commander';
import { BalsaError } from '../base/errors.js';
import { Context, type GlobalOptions } from './context.js';
import type { CliIo } from './io.js';

/** One command of `balsa`: its flags and its help now, its work when it is called. */
export interface CommandSetup {
  readonly name: string;
  readonly summary: string;
  /** Lines of two to four examples that work as they stand. */
  readonly examples: readonly string[];
  /** What there is to know beside the flags. */
  readonly details?: string;
}

export function newCommand({ name, summary, examples, details }: CommandSetup): Command {
  const about = details === undefined ? [] : [details];

  return new Command(name)
    .description(summary)
    .addHelpText(
      'after',
      [...about, '\nExamples:', ...examples.map((line) => `  ${line}`)].join('\n'),
    );
}

/** A command that only holds others, like `balsa cluster`. */
export function newGroup(name: string, summary: string, commands: readonly Command[]): Command {
  const group = new Command(name).description(summary);
  for (const command of commands) group.addCommand(command);
  return group;
}

/** The words behind `balsa` that call the command. */
export function commandPath(command: Command): string {
  const { parent } = command;
  return parent?.parent == null ? command.name() : `${commandPath(parent)} ${command.name()}`;
}

/** Who runs the program: hands over the world, and learns the exit code. */
export interface Runtime {
  readonly io: CliIo;
  /** An {@link ExitCode}, or that of a command that was run for the user. */
  exit: number;
  /** What stands behind `--` on the command line; `null`: there is none. */
  readonly behindDashes: readonly string[] | null;
}

/** Gives the command its work: `run` takes the arguments and the options of the command. */
export function onRun<O>(
  command: Command,
  runtime: Runtime,
  run: (context: Context, args: readonly (string | undefined)[], options: O) => Promise<number>,
): Command {
  return command.action(async () => {
    const globals: GlobalOptions = command.optsWithGlobals();
    const options = command.opts() as O;
    runtime.exit = await run(new Context(runtime.io, globals), command.processedArgs, options);
  });
}

/**
 * For commands that run another one, as `balsa watch KEY -- command args...`: the arguments before `--`,
 * and that other command. `null`: none.
 *
 * @throws BalsaError `INVALID_ARGUMENT`
 */
export function splitAtDashes(
  runtime: Runtime,
  command: Command,
  argumentsMax: number,
): { readonly args: readonly string[]; readonly child: readonly string[] | null } {
  const child = runtime.behindDashes;
  const args = child === null ? command.args : command.args.slice(0, -child.length || undefined);
  const name = commandPath(command);
  if (args.length > argumentsMax) {
    const what = `${name}: too many arguments; a command to run stands behind --`;
    throw new BalsaError('INVALID_ARGUMENT', what);
  }
  if (child?.length === 0) {
    throw new BalsaError('INVALID_ARGUMENT', `${name}: there is no command behind --`);
  }
  return { args, child };
}
