import { once } from 'node:events';
import { styleText } from 'node:util';
import type { CliIo, CliStream } from './io.js';
import { jsonText } from './json-print.js';

/** How data is printed: for people, for programs, or as it is. */
export type Format = 'table' | 'json' | 'raw';
export const FORMATS: readonly Format[] = ['table', 'json', 'raw'];

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** Data to stdout, talk to stderr. */
export class Output {
  readonly format: Format;
  readonly #io: CliIo;

  /** `format` undefined: a table on a terminal, raw values in a pipe. */
  constructor(io: CliIo, format: Format | undefined) {
    this.#io = io;
    this.format = format ?? (io.stdout.isTTY === true ? 'table' : 'raw');
  }

  /** Columns that a line of the table may take; `null`: any. */
  get columns(): number | null {
    return this.#io.stdout.isTTY === true ? this.#io.stdout.columns || 80 : null;
  }

  /** Writes data, and waits when the reader is slower than we are. */
  async write(data: string | Uint8Array): Promise<void> {
    if (!this.#io.stdout.write(data)) await once(this.#io.stdout, 'drain');
  }

  async line(text: string): Promise<void> {
    await this.write(`${text}\n`);
  }

  /** One object on one line. */
  async json(value: unknown): Promise<void> {
    await this.line(jsonText(value));
  }

  /** A line for people; nothing but words goes here. */
  say(text: string): void {
    this.#io.stderr.write(`${text}\n`);
  }

  /** Text in a colour, where stdout shows colours. */
  style(style: Style, text: string): string {
    return paint(style, text, this.#io.stdout, this.#io.env);
  }

  /** The same for stderr. */
  styleTalk(style: Style, text: string): string {
    return paint(style, text, this.#io.stderr, this.#io.env);
  }
}

/** Colours on terminals only, and not where NO_COLOR (https://no-color.org) asks for none. */
export function paint(style: Style, text: string, stream: CliStream, env: CliIo['env']): string {
  return hasColors(stream, env) ? styleText(style, text, { validateStream: false }) : text;
}

export function hasColors(stream: CliStream, env: CliIo['env']): boolean {
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== '') return false;
  return stream.isTTY === true && env.TERM !== 'dumb';
}
