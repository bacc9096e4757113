import type { Command } from 'commander';
import type { GetResult } from '../client/client.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { jsonBytes, printable } from './printable.js';

export function getCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'get',
    summary: 'Print the value of a key; exit code 3 when there is none',
    examples: [
      'balsa get greeting',
      'balsa get logo > logo.png                  the exact bytes',
      'balsa get -o json greeting                 with revisions, and who answered',
      'balsa get --consistency any greeting       also without a majority',
    ],
  }).argument('<key>', 'the key');
  return onRun(command, runtime, runGet);
}

async function runGet(
  context: Context,
  [key = '']: readonly (string | undefined)[],
): Promise<ExitCode> {
  const answer = await context.withClient((client) => client.get(key, { signal: context.signal }));
  if (answer.value === undefined) {
    context.output.say(`not found: ${printable(Buffer.from(key), 'one-line')}`);
    return EXIT.notFound;
  }
  await printAnswer(context, key, answer, answer.value);
  return EXIT.done;
}

async function printAnswer(
  { output }: Context,
  key: string,
  answer: GetResult<Buffer>,
  value: Buffer,
): Promise<void> {
  const { createRevision, modRevision, version, meta } = answer;
  if (output.format === 'json') {
    const revisions = { createRevision, modRevision, version };
    await output.json({ key, ...jsonBytes('value', value), ...revisions, meta });
  } else if (output.format === 'raw') {
    await output.write(value);
  } else {
    await output.line(printable(value, 'lines'));
    const about = `revision ${modRevision}, version ${version}, ${meta.level} from ${meta.replica}`;
    output.say(output.styleTalk('dim', about));
  }
}
