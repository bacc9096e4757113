import type { Command } from 'commander';
import type { JobInfo } from '../../client/client.js';
import { newCommand, onRun, type Runtime } from '../command.js';
import type { Context } from '../context.js';
import { EXIT } from '../exit-codes.js';
import { printFacts } from '../facts.js';
import { printTable } from '../print-table.js';
import { oneLine } from '../printable.js';
import { timeText } from '../time-text.js';
import { doneText, failureText, tasksText, tookText } from './texts.js';

export function listCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'list',
    summary: 'List the jobs that there are, the latest first',
    examples: ['balsa job list', 'balsa job list --running -o json'],
  }).option('--running', 'only those that have not ended');
  return onRun<{ readonly running?: boolean }>(command, runtime, async (context, _args, flags) => {
    const { output, signal } = context;
    const all = await context.withClient((client) => client.jobs.list({ signal }));
    const { running = false } = flags;
    const jobs = running ? all.filter(({ phase }) => phase === 'running') : all;
    if (output.format === 'json') {
      for (const job of jobs) await output.json(job);
      return EXIT.done;
    }
    if (jobs.length === 0) output.say('no jobs');
    const rows = jobs.map((job) => [
      ...[
        job.job,
        oneLine(job.name),
        job.phase,
        doneText(job),
        timeText(job.submittedMs),
        tookText(job),
      ],
    ]);
    if (rows.length > 0) await printTable(output, LIST_COLUMNS, rows);
    return EXIT.done;
  });
}

const LIST_COLUMNS = [
  { title: 'JOB' },
  { title: 'NAME' },
  { title: 'PHASE' },
  { title: 'DONE', align: 'right' },
  { title: 'SUBMITTED' },
  { title: 'TOOK', align: 'right' },
] as const;

export function statusCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'status',
    summary: 'Show how far a job is, stage by stage',
    examples: ['balsa job status 1f3c', 'balsa job status nightly -o json'],
  }).argument('<id>', 'of the job');
  return onRun(command, runtime, async (context, [id = '']) => {
    const { output, signal } = context;
    const job = await context.withClient((client) => client.jobs.get(id).status({ signal }));
    if (output.format === 'json') await output.json(job);
    else await printJob(context, job);
    return EXIT.done;
  });
}

const STAGE_COLUMNS = [
  { title: 'STAGE' },
  { title: 'KIND' },
  { title: 'TASKS', align: 'right' },
  { title: 'DONE', align: 'right' },
  { title: 'RUNNING', align: 'right' },
  { title: 'WAITING', align: 'right' },
  { title: 'FAILED', align: 'right' },
] as const;

export async function printJob({ output }: Context, job: JobInfo): Promise<void> {
  const failure = failureText(job);
  await printFacts(output, [
    ...([
      ['job', job.job],
      ['name', oneLine(job.name)],
      ['phase', job.phase],
      ['priority', `${job.priority}, weight ${job.weight}`],
      ['submitted', timeText(job.submittedMs)],
      ['took', tookText(job)],
    ] as const),
    ...(failure === null ? [] : [['failure', failure] as const]),
  ]);
  const rows = job.stages.map((stage) => [
    ...[stage.name, stage.kind, tasksText(stage.tasks, stage.isFinal)],
    ...[stage.done, stage.running, stage.waiting, stage.failures].map(String),
  ]);
  await printTable(output, STAGE_COLUMNS, rows);
}

export function statsCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'stats',
    summary: 'Show what waits, how busy workers are, and how many would be of use',
    details: `
QUEUED counts tasks that could run now. USEFUL WORKERS is how many workers of the present mean size would be
busy: for whoever starts and stops them. The leader knows of workers what they said in the last seconds.`,
    examples: ['balsa job stats', 'balsa job stats -o json'],
  });
  return onRun(command, runtime, async (context) => {
    const { output, signal } = context;
    const stats = await context.withClient((client) => client.jobs.stats({ signal }));
    if (output.format === 'json') {
      await output.json(stats);
      return EXIT.done;
    }
    await printFacts(output, [
      ['queued', String(stats.queued)],
      ['running', String(stats.running)],
      ['useful workers', String(stats.usefulWorkers)],
    ]);
    const rows = stats.workers.map((worker) => [
      ...[worker.worker, worker.where, oneLine(worker.home), String(worker.threads)],
      ...[String(worker.running), `${Math.round(100 * worker.utilisation)}%`],
      oneLine(worker.labels.join(' ')),
    ]);
    if (rows.length > 0) await printTable(output, WORKER_COLUMNS, rows);
    return EXIT.done;
  });
}

const WORKER_COLUMNS = [
  { title: 'WORKER' },
  { title: 'WHERE' },
  { title: 'HOME' },
  { title: 'THREADS', align: 'right' },
  { title: 'HAS', align: 'right' },
  { title: 'BUSY', align: 'right' },
  { title: 'LABELS' },
] as const;
