import type { Command } from 'commander';
import { newCommand, onRun, type Runtime } from '../command.js';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { memberCalled } from './change.js';

export function transferCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'transfer',
    summary: 'Hand the leadership over; prints who leads then',
    examples: [
      'balsa cluster transfer              to whom the leader thinks best',
      'balsa cluster transfer n2',
    ],
  }).argument('[name]', 'who shall lead; a voter');
  return onRun(command, runtime, runTransfer);
}

async function runTransfer(
  context: Context,
  [name]: readonly (string | undefined)[],
): Promise<ExitCode> {
  const { signal, output } = context;
  const leader = await context.withClient(async (client) => {
    const before = await client.cluster.members({ signal });
    if (name !== undefined) {
      memberCalled(before.members, name);
      if (before.leader === name) return name;
    }
    return (await client.cluster.transfer(name ?? null, { signal })).leader;
  });
  if (output.format === 'json') await output.json({ leader });
  else await output.line(leader ?? '');
  return EXIT.done;
}
