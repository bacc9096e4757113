import type { Command } from 'commander';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { printable } from './printable.js';

export function delCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'del',
    summary: 'Delete a key; exit code 3 when it was not there',
    examples: [
      'balsa del greeting',
      'balsa del -o json greeting',
      'balsa del greeting || echo "it was not there, or it failed: $?"',
    ],
  }).argument('<key>', 'the key');
  return onRun(command, runtime, runDel);
}

async function runDel(
  context: Context,
  [key = '']: readonly (string | undefined)[],
): Promise<ExitCode> {
  const { deleted, revision, meta } = await context.withClient((client) =>
    client.delete(key, { signal: context.signal }),
  );
  const { output } = context;
  if (output.format === 'json') {
    await output.json({ key, deleted, revision, meta });
  } else if (deleted && output.format === 'raw') {
    await output.line(String(revision));
  } else if (deleted) {
    await output.line(`${output.style('green', 'deleted')} at revision ${revision}`);
  }
  if (deleted) return EXIT.done;
  output.say(`not found: ${printable(Buffer.from(key), 'one-line')}`);
  return EXIT.notFound;
}
