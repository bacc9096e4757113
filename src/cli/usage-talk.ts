import type { CommanderError } from 'commander';
import { BalsaError } from '../base/errors.js';
import type { CliIo } from './io.js';

/** What Commander says of wrong usage: as it is to people, and kept for an object where JSON is asked for. */
export class UsageTalk {
  readonly isJson: boolean;
  readonly #io: CliIo;
  #told = '';

  constructor(io: CliIo, isJson: boolean) {
    this.#io = io;
    this.isJson = isJson;
  }

  /** What was kept. */
  get told(): string {
    return this.#told;
  }

  tell(text: string): void {
    if (this.isJson) this.#told += text;
    else this.#io.stderr.write(text);
  }
}

/** `-o json` of a command line that may be wrong otherwise, so that nobody else has read it. */
export function asksForJson(args: readonly string[], env: CliIo['env']): boolean {
  const dashes = args.indexOf('--');
  const own = dashes === -1 ? args : args.slice(0, dashes);
  const forms = own.flatMap((word, i) => {
    if (word === '-o' || word === '--output') return own[i + 1] ?? [];
    return /^(?:--output=|-o)(.+)$/.exec(word)?.[1] ?? [];
  });
  return (forms.at(-1) ?? env.BALSA_OUTPUT) === 'json';
}

export function usageError(error: CommanderError, told: string): BalsaError {
  const hint = /^try: (.*)$/m.exec(told)?.[1];
  const isHelp = error.code === 'commander.help';
  const message = isHelp ? 'give a command' : error.message.replace(/^error: /, '');
  const details = hint === undefined ? {} : { hint };
  return new BalsaError('INVALID_ARGUMENT', message, { cause: error, details });
}
