import { fileURLToPath } from 'node:url';
import { type Command, InvalidArgumentError } from 'commander';
import { BalsaError } from '../base/errors.js';
import { isLabel, LABEL_LENGTH_MAX, SLOTS_MAX } from '../base/job.js';
import type { WorkerNotice } from '../client/client.js';
import type { UserModule } from '../compute/user-module.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { refuseMissing } from './files.js';
import { parseSize } from './flags.js';
import type { Output } from './output.js';
import { oneLine } from './printable.js';
import type { StoreClient } from './store-client.js';

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
    .option('--label <name>', 'what stages may ask for; it can be given several times', parseLabel)
    .option('--memory <size>', 'for all tasks together: 512MiB, 8GiB', parseSize)
    .option('--home <name>', 'where it is; default: the name of the host');
  return onRun<WorkerFlags>(command, runtime, (context, [file = ''], flags) =>
    runWorker(context, file, flags),
  );
}

function parseSlots(text: string): number {
  const slots = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (slots >= 1 && slots <= SLOTS_MAX) return slots;
  throw new InvalidArgumentError(`It must be a whole number from 1 to ${SLOTS_MAX}.`);
}

function parseLabel(text: string, before: readonly string[] = []): readonly string[] {
  if (isLabel(text)) return [...before, text];
  throw new InvalidArgumentError(`It must have 1 to ${LABEL_LENGTH_MAX} characters.`);
}

async function runWorker(context: Context, file: string, flags: WorkerFlags): Promise<ExitCode> {
  await refuseMissing(file);
  const { compileUserModule } = await import('../compute/user-module.js');
  const module = await compileUserModule(file);
  try {
    return await context.withClient((client) => serve(context, client, { module, flags }), {
      timeoutMs: 30_000,
    });
  } catch (error) {
    throw named(file, module, error);
  } finally {
    module.remove();
  }
}

/** What is wrong with a module is told of the file of the user, and not of what was made of it. */
function named(file: string, { url }: UserModule, error: unknown): unknown {
  if (!(error instanceof BalsaError) || error.code !== 'FILE_INVALID') return error;
  const message = error.message.replaceAll(url, file).replaceAll(fileURLToPath(url), file);
  return new BalsaError(error.code, message, { cause: error });
}

/** Until it is told to stop, or cannot go on. */
async function serve(
  { output, signal }: Context,
  client: StoreClient,
  { module, flags }: { readonly module: UserModule; readonly flags: WorkerFlags },
): Promise<ExitCode> {
  await using worker = await client.worker({
    ...{ tasks: module.url, slots: flags.slots, labels: flags.label ?? [] },
    ...{ memoryBytes: flags.memory, home: flags.home },
    onNotice: (notice) => output.say(noticeText(output, notice)),
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
}

function noticeText(output: Output, { type, task, message }: WorkerNotice): string {
  const { job, stage, ordinal, attempt } = task;
  const which = `${job} ${stage}/${ordinal}${attempt > 1 ? ` (attempt ${attempt})` : ''}`;
  const isBad = type === 'failed' || type === 'crashed';
  const what = isBad ? output.styleTalk('red', type) : output.styleTalk('dim', type);
  return `${what} ${which}${message === '' ? '' : `: ${oneLine(message)}`}`;
}
