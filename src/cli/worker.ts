import { type Command, InvalidArgumentError } from 'commander';
import type { WorkerNotice } from '../client/client.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT, type ExitCode } from './exit-codes.js';

interface WorkerFlags {
  readonly slots: number;
  readonly label?: readonly string[];
  readonly memory?: number;
  readonly home?: string;
}

export function workerCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'worker',
    summary: 'Run tasks of jobs on this machine: each function that a module exports is a task',
    details: `
Each task runs in a process of its own. Ctrl-C or SIGTERM: no further task is taken, and those under way are
done first; a second time: they are left to others at once. Workers join and leave at any time.`,
    examples: [
      'balsa worker tasks.ts --slots 4',
      'balsa worker tasks.ts --label ffmpeg --label gpu --memory 8GiB',
    ],
  })
    .argument('<file>', 'a module of TypeScript or JavaScript')
    .option('--slots <n>', 'tasks at one time', parseSlots, 1)
    .option('--label <name...>', 'what stages may ask for; more than one can be given')
    .option('--memory <size>', 'for all tasks together: 512MiB, 8GiB', parseSize)
    .option('--home <name>', 'where it is; default: the name of the host');
  return onRun<WorkerFlags>(command, runtime, (context, [file = ''], flags) =>
    runWorker(context, file, flags),
  );
}

const UNITS: Readonly<Record<string, number>> = { '': 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

function parseSize(text: string): number {
  const match = /^(\d{1,9})(KiB|MiB|GiB)?$/.exec(text);
  const unit = UNITS[match?.[2] ?? ''];
  if (match === null || unit === undefined) {
    throw new InvalidArgumentError('It must be a size, like 512MiB or 8GiB.');
  }
  return Number(match[1]) * unit;
}

function parseSlots(text: string): number {
  if (/^[1-9]\d{0,2}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a whole number from 1 to 999.');
}

async function runWorker(context: Context, file: string, flags: WorkerFlags): Promise<ExitCode> {
  const { output, signal } = context;
  const { compileUserModule } = await import('../compute/user-module.js');
  const module = await compileUserModule(file);
  const client = await context.connect({ timeoutMs: 30_000 });
  try {
    await using worker = await client.worker({
      ...{ tasks: module.url, slots: flags.slots, labels: flags.label ?? [] },
      ...{ memoryBytes: flags.memory, home: flags.home },
      onNotice: (notice) => output.say(noticeText(context, notice)),
    });
    output.say(`${worker.id} has ${worker.tasks.join(', ')}; it waits for tasks`);
    const stopped = new Promise<'stop'>((resolve) => {
      if (signal.aborted) resolve('stop');
      else signal.addEventListener('abort', () => resolve('stop'), { once: true });
    });
    const why = await Promise.race([stopped, worker.ended]);
    if (why !== 'stop') {
      if (why !== null) throw why;
      return EXIT.done;
    }
    if (worker.active > 0) output.say(`${worker.active} tasks are done first`);
    await worker.drain();
    return EXIT.done;
  } finally {
    await client.close();
    module.remove();
  }
}

function noticeText({ output }: Context, { type, task, message }: WorkerNotice): string {
  const { job, stage, ordinal, attempt } = task;
  const which = `${job} ${stage}/${ordinal}${attempt > 1 ? ` (attempt ${attempt})` : ''}`;
  const isBad = type === 'failed' || type === 'crashed';
  const what = isBad ? output.styleTalk('red', type) : output.styleTalk('dim', type);
  return `${what} ${which}${message === '' ? '' : `: ${message}`}`;
}
