import { open } from 'node:fs/promises';
import { addAbortSignal, type Readable } from 'node:stream';
import type { Command } from 'commander';
import { BalsaError } from '../base/errors.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { fileUnreadable } from './files.js';

interface PutOptions {
  readonly file?: string;
}

/** More than any replica can be configured to take; ends the reading of an endless input. */
const INPUT_BYTES_MAX = 64 * 1024 * 1024;

export function putCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'put',
    summary: 'Store a value under a key',
    examples: [
      'balsa put greeting hello',
      'echo -n hello | balsa put greeting -',
      'balsa put logo --file logo.png',
      'balsa put -o json greeting "hello world"    prints the revision it got',
    ],
  })
    .argument('<key>', 'the key')
    .argument('[value]', 'the value; - reads it from stdin')
    .option('--file <path>', 'read the value from a file, - for stdin');
  return onRun<PutOptions>(command, runtime, runPut);
}

async function runPut(
  context: Context,
  [key = '', text]: readonly (string | undefined)[],
  options: PutOptions,
): Promise<ExitCode> {
  const value = await readValue(context, text, options.file);
  const answer = await context.withClient((client) =>
    client.put(key, value, { signal: context.signal }),
  );
  const { output } = context;
  if (output.format === 'json') {
    await output.json({ key, revision: answer.revision, meta: answer.meta });
  } else if (output.format === 'raw') {
    await output.line(String(answer.revision));
  } else {
    await output.line(`${output.style('green', 'stored')} at revision ${answer.revision}`);
  }
  return EXIT.done;
}

async function readValue(
  context: Context,
  text: string | undefined,
  file: string | undefined,
): Promise<Uint8Array> {
  if (text !== undefined && file !== undefined) {
    throw new BalsaError('INVALID_ARGUMENT', 'put: give a VALUE or --file, not both');
  }
  if (text === undefined && file === undefined) {
    throw new BalsaError('INVALID_ARGUMENT', 'put: give a VALUE, or - for stdin, or --file PATH');
  }
  if ((file ?? text) === '-') return await readAll(context.io.stdin, 'stdin', context.signal);
  if (file === undefined) return Buffer.from(text ?? '', 'utf8');
  const handle = await open(file).catch((cause: unknown) => {
    throw fileUnreadable(file, cause);
  });
  return await readAll(handle.createReadStream(), file, context.signal);
}

async function readAll(input: Readable, name: string, signal: AbortSignal): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of addAbortSignal(signal, input)) {
      const piece = Buffer.from(chunk);
      chunks.push(piece);
      bytes += piece.byteLength;
      if (bytes > INPUT_BYTES_MAX) break;
    }
  } catch (cause) {
    if (signal.aborted) throw new BalsaError('CANCELLED', 'interrupted', { cause });
    throw fileUnreadable(name, cause);
  }
  if (bytes <= INPUT_BYTES_MAX) return Buffer.concat(chunks);
  throw new BalsaError('VALUE_TOO_LARGE', `${name} has more than ${INPUT_BYTES_MAX} bytes`);
}
