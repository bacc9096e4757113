import type { Command } from 'commander';
import { BalsaError } from '../../base/errors.js';
import { newCommand, onRun, type Runtime } from '../command.js';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { parseCount } from '../flags.js';
import { LogTail, printLines, tellFailures } from './log-tail.js';
import { parseReference } from './reference.js';

interface LogsFlags {
  readonly follow?: boolean;
  readonly limit?: number;
}

export function logsCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'logs',
    summary: 'Show what procedures have logged lately, and the errors that calls ended with',
    details: `
Each replica keeps the last lines of the calls that it has run: all of them are asked, and their lines
put in the order of time. A reference without an alias means all aliases of the procedure.`,
    examples: [
      'balsa proc logs',
      'balsa proc logs transfer --follow      go on until Ctrl-C',
      'balsa proc logs transfer@prod --limit 20 -o json',
    ],
  })
    .argument('[ref]', 'of this procedure only: transfer, transfer@staging')
    .option('-f, --follow', 'go on, until Ctrl-C')
    .option('--limit <n>', 'only the last ones', parseCount);
  return onRun<LogsFlags>(command, runtime, (context, [reference], flags) =>
    runLogs(context, reference, flags),
  );
}

/** How often replicas are asked for more. */
const FOLLOW_MS = 300;

async function runLogs(
  context: Context,
  reference: string | undefined,
  { follow = false, limit = Number.POSITIVE_INFINITY }: LogsFlags,
): Promise<ExitCode> {
  if (reference !== undefined) parseReference(reference);
  const { output, io, signal } = context;
  await using tail = new LogTail(context, reference);
  await tail.open();
  const { lines, failures } = await tail.first();
  tellFailures(output, failures);
  await printLines(output, lines.slice(-limit));
  if (!follow) {
    if (lines.length === 0 && failures.length === 0) output.say('no lines');
    return EXIT.done;
  }
  for (;;) {
    await io.sleep(FOLLOW_MS);
    if (signal.aborted) throw new BalsaError('CANCELLED', 'interrupted');
    tail.ask();
    await printLines(output, tail.take());
  }
}
