import type { Command } from 'commander';
import type { JobHandle, JobInfo } from '../../client/client.js';
import { newCommand, onRun, type Runtime } from '../command.js';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { clip, textWidth } from '../text-width.js';
import { doneText, failureText, stageLine, tookText } from './texts.js';

export function watchCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'watch',
    summary: 'Show how far a job is until it has ended: a bar for each stage on a terminal',
    details:
      '\nExit code 1: it has failed, or was cancelled. Ctrl-C ends the watching and not the job.',
    examples: ['balsa job watch nightly', 'balsa job watch nightly -o json'],
  }).argument('<id>', 'of the job');
  return onRun(command, runtime, (context, [id = '']) =>
    context.withClient((client) => watchJob(context, client.jobs.get(id))),
  );
}

/** Until it has ended. */
export async function watchJob(context: Context, job: JobHandle): Promise<ExitCode> {
  const { output, signal } = context;
  const bars = new Bars(context);
  let last: JobInfo | null = null;
  for await (const info of job.progress({ signal })) {
    last = info;
    if (output.format === 'json') await output.json(info);
    else bars.show(info);
  }
  bars.end();
  if (last === null) return EXIT.failed;
  const { phase } = last;
  const isGood = phase === 'succeeded';
  if (output.format !== 'json') {
    const style = isGood ? 'green' : 'red';
    output.say(`${output.styleTalk(style, phase)} ${last.job} in ${tookText(last)}`);
    const failure = failureText(last);
    if (failure !== null) output.say(failure);
  }
  return isGood ? EXIT.done : EXIT.failed;
}

/** A pause between two lines where there is no terminal, in milliseconds. */
const LINE_MS = 2000;

/** A line for each stage on stderr, in place of those before; where that is no terminal one line now and then. */
class Bars {
  readonly #context: Context;
  #lines = 0;
  #saidMs = Number.NEGATIVE_INFINITY;

  constructor(context: Context) {
    this.#context = context;
  }

  show(info: JobInfo): void {
    const { io, output } = this.#context;
    if (io.stderr.isTTY !== true) {
      const nowMs = io.nowMs();
      if (nowMs - this.#saidMs < LINE_MS) return;
      this.#saidMs = nowMs;
      output.say(`${info.job} ${info.phase} ${doneText(info)}`);
      return;
    }
    const columns = (io.stderr.columns || 80) - 1;
    const names = Math.max(...info.stages.map(({ name }) => textWidth(name)));
    const lines = info.stages.map((stage) => clip(stageLine(stage, info.nowMs, names), columns));
    this.#clear();
    io.stderr.write(lines.map((line) => `${line}\n`).join(''));
    this.#lines = lines.length;
  }

  /** What was drawn last stays. */
  end(): void {
    this.#lines = 0;
  }

  #clear(): void {
    if (this.#lines > 0) this.#context.io.stderr.write(`\u001b[${this.#lines}A\u001b[0J`);
  }
}
