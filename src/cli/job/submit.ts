import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { asBalsaError, BalsaError } from '../../base/errors.js';
import { parseJson } from '../../base/json-text.js';
import type { JobDefinition } from '../../client/client.js';
import { newCommand, onRun, type Runtime } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { fileUnreadable, refuseMissing } from '../files.js';
import { printResult } from './result.js';
import { watchJob } from './watch.js';

interface SubmitFlags {
  readonly job?: string;
  readonly id?: string;
  readonly watch?: boolean;
  readonly result?: boolean;
}

export function submitCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'submit',
    summary: 'Submit a job: its id is printed, and it goes on whatever becomes of this process',
    details: `
The file is a module of TypeScript or JavaScript that exports what job() of balsa/procedures gives, or JSON of
the same form. Procedures that its tasks run are deployed before: balsa deploy FILE.`,
    examples: [
      'balsa deploy words.ts && balsa job submit words.ts --watch',
      `balsa job submit words.ts '{"minLength":3}' --job wordCount --id nightly`,
      'balsa job submit words.ts --result',
    ],
  })
    .argument('<file>', 'a module that exports a job, or JSON')
    .argument('[json]', 'arguments, for all tasks; default: null')
    .option('--job <name>', 'which one, if the module exports several')
    .option('--id <id>', 'its id; default: one that nobody else has')
    .option('--watch', 'show how far it is until it has ended')
    .option('--result', 'wait until it has ended, and print what it came to');
  return onRun<SubmitFlags>(command, runtime, async (context, [file = '', json], flags) => {
    const { output, signal } = context;
    if (flags.watch === true && flags.result === true) {
      throw new BalsaError('INVALID_ARGUMENT', 'job submit: give --watch or --result, not both');
    }
    const args = json === undefined ? null : parseJson('the arguments are', json);
    const definition = await readDefinition(file, flags.job);
    return await context.withClient(async (client) => {
      const handle = await client.submit(definition, args, { id: flags.id, signal });
      if (flags.result === true) {
        await printResult(context, handle);
        return EXIT.done;
      }
      if (output.format === 'json') await output.json({ job: handle.id });
      else await output.line(handle.id);
      return flags.watch === true ? await watchJob(context, handle) : EXIT.done;
    });
  });
}

/** @throws BalsaError `FILE_UNREADABLE`, `FILE_INVALID`, `INVALID_ARGUMENT` */
async function readDefinition(file: string, wanted: string | undefined): Promise<JobDefinition> {
  if (file.endsWith('.json')) {
    if (wanted !== undefined) {
      const message = `job submit: --job is for modules; ${file} is one job`;
      throw new BalsaError('INVALID_ARGUMENT', message);
    }
    const text = await readFile(file, 'utf8').catch((cause: unknown) => {
      throw fileUnreadable(file, cause);
    });
    const definition = parseJson(`${file} is`, text);
    if (isDefinition(definition)) return definition;
    throw new BalsaError(
      'FILE_INVALID',
      `${file} is not the definition of a job: it has no stages`,
    );
  }
  await refuseMissing(file);
  const { compileUserModule } = await import('../../compute/user-module.js');
  const module = await compileUserModule(file);
  try {
    const exported = await load(file, module.url);
    return chosen(file, exported, wanted);
  } finally {
    module.remove();
  }
}

/** @throws BalsaError `FILE_INVALID`: its own code throws */
async function load(file: string, url: string): Promise<Record<string, unknown>> {
  try {
    return (await import(url)) as Record<string, unknown>;
  } catch (cause) {
    const { message } = asBalsaError(cause);
    throw new BalsaError('FILE_INVALID', `${file}: the module throws: ${message}`, { cause });
  }
}

function chosen(
  file: string,
  exported: Record<string, unknown>,
  wanted: string | undefined,
): JobDefinition {
  const jobs = Object.entries(exported).filter(([, value]) => isDefinition(value));
  const names = jobs.map(([name]) => name);
  const found = wanted === undefined ? jobs : jobs.filter(([name]) => name === wanted);
  const [first] = found;
  if (first !== undefined && found.length === 1) {
    const [name, definition] = first as [string, JobDefinition];
    return { name, ...definition };
  }
  if (wanted !== undefined || names.length === 0) {
    const what = wanted === undefined ? 'no job' : `no job ${wanted}`;
    throw new BalsaError('FILE_INVALID', `${file} exports ${what}; see job() of balsa/procedures`);
  }
  throw new BalsaError(
    'INVALID_ARGUMENT',
    `${file} exports ${names.join(', ')}: name one with --job`,
  );
}

function isDefinition(value: unknown): value is JobDefinition {
  if (typeof value !== 'object' || value === null) return false;
  const { stages } = value as { stages?: unknown };
  return typeof stages === 'object' && stages !== null && !Array.isArray(stages);
}
