import type { Command } from 'commander';
import type { KeysOptions } from '../client/client.js';
import { addBoundFlags, type BoundFlags, boundsOf } from './bounds.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT } from './exit-codes.js';
import { parseIndex } from './flags.js';
import { addKeyFlags, type KeyFlags, namedRange } from './key-flags.js';

interface CountFlags extends KeyFlags, BoundFlags {
  readonly rev?: number;
}

export function countCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'count',
    summary: 'Say how many keys there are',
    examples: [
      'balsa count',
      'balsa count user/                     that start with user/',
      'balsa count --from a --to b --rev 100 as it was at revision 100',
    ],
  }).argument('[prefix]', 'only keys that start with it; default: all');
  addBoundFlags(addKeyFlags(command)).option(
    '--rev <revision>',
    'as it was at this revision',
    parseIndex,
  );
  return onRun<CountFlags>(command, runtime, async (context, [prefix], flags) =>
    runCount(context, {
      ...namedRange('count', prefix, flags),
      ...boundsOf(flags),
      revision: flags.rev,
    }),
  );
}

export async function runCount(context: Context, options: KeysOptions): Promise<number> {
  const { output, signal } = context;
  const answer = await context.withClient((client) => client.count({ ...options, signal }));
  const { count, revision, meta } = answer;
  if (output.format === 'json') await output.json({ count, revision, meta });
  else await output.line(String(count));
  if (output.format === 'table') output.say(output.styleTalk('dim', `at revision ${revision}`));
  return EXIT.done;
}
