import type { Command } from 'commander';
import type { JobHandle } from '../../client/client.js';
import { type CommandSetup, newCommand, onRun, type Runtime } from '../command.js';
import { EXIT } from '../exit-codes.js';

export function cancelCommand(runtime: Runtime): Command {
  const setup = {
    name: 'cancel',
    summary: 'End a job: when this is answered, nothing of it has an effect any more',
    details: '\nExit code 3: there is no such job. 4: it has ended already.',
    examples: ['balsa job cancel nightly', 'balsa job cancel nightly -o json'],
  };
  return changing(runtime, setup, 'cancelled', (job, options) => job.cancel(options));
}

export function retryCommand(runtime: Runtime): Command {
  const setup = {
    name: 'retry',
    summary: 'Go on with a job that has failed: what is done stays',
    details: '\nExit code 3: there is no such job. 4: it has not failed.',
    examples: ['balsa job retry nightly', 'balsa job retry nightly -o json'],
  };
  return changing(runtime, setup, 'goes on', (job, options) => job.retry(options));
}

export function removeCommand(runtime: Runtime): Command {
  const setup = {
    name: 'remove',
    summary: 'Forget a job that has ended, with its results',
    details: '\nExit code 3: there is no such job. 4: it is under way; cancel it first.',
    examples: ['balsa job remove nightly', 'balsa job remove nightly -o json'],
  };
  return changing(runtime, setup, 'removed', (job, options) => job.remove(options));
}

function changing(
  runtime: Runtime,
  setup: CommandSetup,
  done: string,
  change: (job: JobHandle, options: { readonly signal: AbortSignal }) => Promise<void>,
): Command {
  const command = newCommand(setup).argument('<id>', 'of the job');
  return onRun(command, runtime, async (context, [id = '']) => {
    const { output, signal } = context;
    await context.withClient((client) => change(client.jobs.get(id), { signal }));
    if (output.format === 'json') await output.json({ job: id, done });
    else output.say(`${output.styleTalk('green', done)} ${id}`);
    return EXIT.done;
  });
}
