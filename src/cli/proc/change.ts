import { type Command, InvalidArgumentError } from 'commander';
import { BalsaError } from '../../base/errors.js';
import type { ProcedureInfo } from '../../client/client.js';
import { newCommand, onRun, type Runtime } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { listDeployed } from './deployed.js';
import { find, parseReference, referenceText, shortHash } from './reference.js';

export function rollbackCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'rollback',
    summary: 'Let a procedure stand for code that it stood for before',
    details: `
Exit code 3: there is no such procedure, or no such code. 4: somebody else has changed it meanwhile;
nothing was done.`,
    examples: [
      'balsa proc rollback transfer                   to what it stood for last',
      'balsa proc rollback transfer --to 9f31aa02     proc show transfer lists what there is',
    ],
  })
    .argument('<ref>', 'its name: transfer, transfer@staging')
    .option('--to <hash>', 'the code, or how its hash begins', parseHash);
  return onRun<{ readonly to?: string }>(command, runtime, async (context, [text = ''], flags) => {
    const { output, signal } = context;
    const reference = parseReference(text);
    const { from, to } = await context.withClient(async (client) => {
      const known = find(reference, await listDeployed(client, signal));
      const current = known.versions[0]?.hash ?? '';
      const target = flags.to === undefined ? undefined : chosen(known, flags.to);
      if (target === current) return { from: current, to: current };
      const hash = await client.procedures.rollback(text, { to: target, signal });
      return { from: current, to: hash };
    });
    const changed = from !== to;
    if (output.format === 'json') await output.json({ ...reference, from, to, changed });
    else if (output.format === 'raw') await output.line(to);
    else {
      const what = referenceText(reference);
      await output.line(
        changed
          ? `${output.style('green', 'rolled back')} ${what}: ${shortHash(from)} → ${shortHash(to)}`
          : `${what} stands for ${shortHash(to)} already`,
      );
    }
    return EXIT.done;
  });
}

/** One of its versions. @throws BalsaError `PROCEDURE_NOT_FOUND`, `INVALID_ARGUMENT` */
function chosen(known: ProcedureInfo, beginning: string): string {
  const what = referenceText(known);
  const found = known.versions.filter(({ hash }) => hash.startsWith(beginning));
  const [first, ...more] = found;
  if (first === undefined) {
    const message = `${what} has never stood for ${beginning}, as far as it is kept`;
    const hint = `balsa proc show ${what} lists what it has stood for`;
    throw new BalsaError('PROCEDURE_NOT_FOUND', message, { details: { hint } });
  }
  if (more.length === 0) return first.hash;
  const hashes = found.map(({ hash }) => shortHash(hash)).join(', ');
  throw new BalsaError('INVALID_ARGUMENT', `${beginning} may be ${hashes}: give more of it`);
}

export function removeCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'remove',
    summary: 'Forget a procedure, with all that it stood for; exit code 3 when there is none',
    examples: ['balsa proc remove transfer', 'balsa proc remove transfer@staging -o json'],
  }).argument('<ref>', 'its name: transfer, transfer@staging');
  return onRun(command, runtime, async (context, [text = '']) => {
    const { output, signal } = context;
    const reference = parseReference(text);
    await context.withClient((client) => client.procedures.remove(text, { signal }));
    const what = referenceText(reference);
    if (output.format === 'json') await output.json({ ...reference, removed: true });
    else if (output.format === 'raw') await output.line(what);
    else await output.line(`${output.style('green', 'removed')} ${what}`);
    return EXIT.done;
  });
}

function parseHash(text: string): string {
  if (/^[0-9a-f]{4,64}$/.test(text)) return text;
  throw new InvalidArgumentError('It must be a hash or its beginning, 4 to 64 digits of 0-9 a-f.');
}
