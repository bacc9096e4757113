import { open } from 'node:fs/promises';
import { addAbortSignal, type Readable } from 'node:stream';
import type { Command } from 'commander';
import { Option } from 'commander';
import { formatDuration } from '../base/duration.js';
import { BalsaError } from '../base/errors.js';
import { newCommand, onRun, type Runtime } from './command.js';
import type { Context } from './context.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { fileUnreadable } from './files.js';
import { parseCount } from './flags.js';
import {
  formatOfFile,
  IMPORT_FORMATS,
  type ImportFormat,
  type ImportItem,
  ImportReader,
} from './import-format.js';
import { ImportWriter } from './import-writer.js';
import { parseKey } from './key-argument.js';
import { oneLine } from './printable.js';
import { formatCount, formatRate, Progress } from './progress.js';

interface ImportFlags {
  readonly format?: ImportFormat;
  readonly keyColumn?: string;
  readonly valueColumn?: string;
  readonly prefix: string;
  readonly outstanding: number;
  readonly onError: 'stop' | 'skip';
}

/** Records are longer than the largest value that can be configured, written as JSON or base64. */
const RECORD_BYTES_MAX = 64 * 1024 * 1024;
/** Skipped records that are told one by one; the rest are only counted. */
const SKIPS_TOLD_MAX = 20;

export function importCommand(runtime: Runtime): Command {
  const command = newCommand({
    name: 'import',
    summary: 'Store the records of a file: JSON lines, or CSV with a header',
    examples: [
      'balsa import users.jsonl                       lines like {"key":"u1","value":"Ada"}',
      'balsa import users.csv --key-column id --prefix user/',
      'balsa import users.csv --key-column id --value-column name --on-error skip',
      'balsa range -o json | balsa --endpoints 10.0.0.9:7001 import -',
    ],
  })
    .argument('<file>', 'the file; - for stdin')
    .addOption(
      new Option('--format <format>', 'default: by the name of the file; stdin: jsonl').choices(
        IMPORT_FORMATS,
      ),
    )
    .option('--key-column <name>', 'CSV: column of the key (default: key)')
    .option(
      '--value-column <name>',
      'CSV: column of the value (default: value; without such a column, the row as a JSON object)',
    )
    .option('--prefix <text>', 'put in front of every key', '')
    .option('--outstanding <n>', 'puts under way at a time', parseCount, 512)
    .addOption(
      new Option('--on-error <what>', 'at a bad record: stop, or skip it and go on')
        .choices(['stop', 'skip'])
        .default('stop'),
    );
  return onRun<ImportFlags>(command, runtime, (context, [file = '-'], flags) =>
    new ImportRun(context, file, flags).run(),
  );
}

interface Source {
  readonly name: string;
  readonly stream: Readable;
  /** `null`: not known beforehand. */
  readonly bytes: number | null;
}

class ImportRun {
  readonly #context: Context;
  readonly #file: string;
  readonly #flags: ImportFlags;
  readonly #prefix: Buffer;
  readonly #startMs: number;
  #progress: Progress | null = null;
  #bytesRead = 0;

  constructor(context: Context, file: string, flags: ImportFlags) {
    this.#context = context;
    this.#file = file;
    this.#flags = flags;
    this.#prefix = Buffer.from(parseKey(flags.prefix));
    this.#startMs = context.io.nowMs();
  }

  async run(): Promise<ExitCode> {
    const reader = new ImportReader({
      format: this.#format(),
      keyColumn: this.#flags.keyColumn,
      valueColumn: this.#flags.valueColumn,
      recordBytesMax: RECORD_BYTES_MAX,
    });
    const source = await this.#openSource();
    try {
      return await this.#context.withClient(async (client) => {
        const writer = this.#newWriter(client, source.name);
        this.#progress = new Progress(this.#context.io, 'records', source.bytes);
        const readError = await this.#copy(source, reader, writer);
        await writer.settled();
        return await this.#finish(writer, readError);
      });
    } finally {
      source.stream.destroy();
    }
  }

  #format(): ImportFormat {
    const format = this.#flags.format ?? (this.#file === '-' ? 'jsonl' : formatOfFile(this.#file));
    if (format !== null) return format;
    throw new BalsaError(
      'INVALID_ARGUMENT',
      `import: ${this.#file} is neither .jsonl nor .csv by its name; say --format jsonl or csv`,
    );
  }

  async #openSource(): Promise<Source> {
    const { io, signal } = this.#context;
    if (this.#file === '-') {
      return { name: 'stdin', stream: addAbortSignal(signal, io.stdin), bytes: null };
    }
    try {
      const handle = await open(this.#file);
      const stats = await handle.stat();
      const stream = addAbortSignal(signal, handle.createReadStream());
      return { name: this.#file, stream, bytes: stats.isFile() ? stats.size : null };
    } catch (cause) {
      throw fileUnreadable(this.#file, cause);
    }
  }

  #newWriter(client: ConstructorParameters<typeof ImportWriter>[0]['client'], source: string) {
    let told = 0;
    return new ImportWriter({
      client,
      source,
      signal: this.#context.signal,
      outstandingMax: this.#flags.outstanding,
      onBadRecord: this.#flags.onError,
      onSkip: (problem) => {
        told += 1;
        if (told <= SKIPS_TOLD_MAX) this.#say(`skipped: ${oneLine(problem)}`);
        if (told === SKIPS_TOLD_MAX + 1) this.#say('skipped: more, which are only counted');
      },
    });
  }

  /** Reads to the end, or until the import has failed. Gives the error of reading, if any. */
  async #copy(
    source: Source,
    reader: ImportReader,
    writer: ImportWriter,
  ): Promise<BalsaError | null> {
    let isHeaderTold = false;
    try {
      for await (const chunk of source.stream) {
        const bytes = Buffer.from(chunk);
        const items = reader.push(bytes);
        if (!isHeaderTold && reader.ignoredColumns.length > 0) {
          this.#say(`columns not imported: ${oneLine(reader.ignoredColumns.join(', '))}`);
          isHeaderTold = true;
        }
        await this.#putAll(items, writer);
        if (writer.failure !== null) return null;
        this.#bytesRead += bytes.byteLength;
      }
      await this.#putAll(reader.end(), writer);
      return null;
    } catch (cause) {
      if (cause instanceof BalsaError) {
        return new BalsaError(cause.code, `${source.name}: ${cause.message}`, { cause });
      }
      if (this.#context.signal.aborted) return null;
      return fileUnreadable(source.name, cause);
    }
  }

  async #putAll(items: readonly ImportItem[], writer: ImportWriter): Promise<void> {
    const prefix = this.#prefix;
    for (const item of items) {
      if (writer.failure !== null) return;
      if ('problem' in item) {
        writer.refuse(item.line, item.problem);
      } else {
        const key = prefix.byteLength === 0 ? item.key : Buffer.concat([prefix, item.key]);
        await writer.put({ ...item, key });
      }
      this.#progress?.update({ done: this.#bytesRead, count: writer.imported });
    }
  }

  async #finish(writer: ImportWriter, readError: BalsaError | null): Promise<ExitCode> {
    const { output, signal } = this.#context;
    const { imported, skipped, unknown } = writer;
    const elapsedMs = this.#context.io.nowMs() - this.#startMs;
    this.#say(summary(writer, elapsedMs));
    if (output.format === 'json') {
      const seconds = Math.round(elapsedMs) / 1000;
      const perSecond = elapsedMs <= 0 ? 0 : Math.round((imported * 1000) / elapsedMs);
      await output.json({ imported, skipped, unknown, seconds, perSecond });
    } else if (output.format === 'raw') {
      await output.line(String(imported));
    }
    if (signal.aborted) return EXIT.interrupted;
    const error = writer.failure ?? readError;
    if (error !== null) throw error;
    return EXIT.done;
  }

  #say(text: string): void {
    this.#progress?.clear();
    this.#context.output.say(text);
  }
}

function summary(writer: ImportWriter, elapsedMs: number): string {
  const { imported, skipped, unknown } = writer;
  const parts = [
    `imported ${formatCount(imported)}`,
    `skipped ${formatCount(skipped)}`,
    ...(unknown === 0 ? [] : [`${formatCount(unknown)} with unknown outcome`]),
  ];
  return `${parts.join(', ')} in ${formatDuration(elapsedMs)} (${formatRate(imported, elapsedMs)})`;
}
