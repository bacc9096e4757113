import type { Command } from 'commander';
import type { GetResult } from '../client/client.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT } from './exit-codes.js';
import { keyText } from './key-argument.js';
import { addKeyFlags, KEY_HELP, neededKeys } from './key-flags.js';
import { jsonBytes, printable } from './printable.js';
import {
  addRangeFlags,
  printRange,
  RANGE_FLAGS,
  type RangeFlags,
  refuseListFlags,
} from './range.js';

export function getCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'get',
    summary: 'Print the value of a key; exit code 3 when there is none',
    examples: [
      'balsa get greeting',
      'balsa get logo > logo.png                  the exact bytes',
      'balsa get -o json greeting --rev 17        as it was then; with revisions, and who answered',
      'balsa get --consistency any greeting       also without a majority',
    ],
  }).argument('[key]', KEY_HELP);
  addKeyFlags(command);
  addRangeFlags(command);
  return onRun<RangeFlags>(command, runtime, runGet);
}

async function runGet(
  context: Context,
  [given]: readonly (string | undefined)[],
  flags: RangeFlags,
): Promise<number> {
  const { key, range } = neededKeys('get', given, flags);
  if (range !== undefined) return await printRange(context, 'get', range, flags);
  refuseListFlags('get', flags, {
    ...{ names: RANGE_FLAGS, why: 'is for --prefix, --from and --to' },
  });
  const answer = await context.withClient((client) =>
    client.get(key, { revision: flags.rev, signal: context.signal }),
  );
  if (answer.value === undefined) {
    context.output.say(`not found: ${keyText(key)}`);
    return EXIT.notFound;
  }
  await printAnswer(context, key, answer, answer.value);
  return EXIT.done;
}

async function printAnswer(
  { output }: Context,
  key: string | Uint8Array,
  answer: GetResult<Buffer>,
  value: Buffer,
): Promise<void> {
  const { createRevision, modRevision, version, lease, meta } = answer;
  if (output.format === 'json') {
    const revisions = { createRevision, modRevision, version, lease };
    const names = { ...jsonBytes('key', Buffer.from(key)), ...jsonBytes('value', value) };
    await output.json({ ...names, ...revisions, meta });
  } else if (output.format === 'raw') {
    await output.write(value);
  } else {
    await output.line(printable(value, 'lines'));
    const facts = [
      `revision ${modRevision}, version ${version}`,
      ...(lease === 0 ? [] : [`lease ${lease}`]),
      `${meta.level} from ${meta.replica}`,
    ];
    output.say(output.styleTalk('dim', facts.join(', ')));
  }
}
