import type { Command } from 'commander';
import type { JobHandle } from '../../client/client.js';
import { newCommand, onRun, type Runtime } from '../command.js';
import type { Context } from '../context.js';
import { EXIT } from '../exit-codes.js';
import { printJson } from '../print-json.js';

export function resultCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'result',
    summary: 'Wait until a job has ended, and print what it came to',
    details: `
A job whose last stage is a reduce has one result, which is printed as JSON; of others each result is a line
of its own. Bytes are printed as they are. Exit code 1: the job has failed, or was cancelled.`,
    examples: ['balsa job result nightly', 'balsa job result nightly > result.json'],
  }).argument('<id>', 'of the job');
  return onRun(command, runtime, async (context, [id = '']) => {
    await context.withClient((client) => printResult(context, client.jobs.get(id)));
    return EXIT.done;
  });
}

export async function printResult({ output, signal }: Context, job: JobHandle): Promise<void> {
  for await (const value of job.results({ signal })) {
    if (value instanceof Uint8Array) {
      if (output.format === 'json')
        await output.json({ base64: Buffer.from(value).toString('base64') });
      else await output.write(value);
    } else if (output.format === 'json') await output.json(value);
    else await printJson(output, value);
  }
}
