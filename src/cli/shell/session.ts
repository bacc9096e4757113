import { InvalidArgumentError } from 'commander';
import { formatDuration } from '../../base/duration.js';
import { BalsaError } from '../../base/errors.js';
import { nearest } from '../../base/suggest.js';
import type { Context, GlobalOptions } from '../context.js';
import { CONSISTENCY_FORM, consistencyText, parseConsistency } from '../flags.js';
import type { CliIo } from '../io.js';
import { FORMATS, type Format } from '../output.js';

/** What holds for all commands of a shell, and the dot-commands that change it. */
export class ShellSession {
  #options: GlobalOptions;
  timing = false;

  constructor(options: GlobalOptions) {
    this.#options = options;
  }

  get options(): GlobalOptions {
    return this.#options;
  }

  /** As flags before a command, whose own flags come later and so have the last word. */
  flags(): string[] {
    const { output, endpoints, timeout, consistency, token, namespace, stay } = this.#options;
    return [
      ...['--endpoints', endpoints.join(), '--timeout', `${timeout}ms`],
      ...(stay === true ? ['--stay'] : []),
      ...(output === undefined ? [] : ['--output', output]),
      ...(consistency === undefined ? [] : ['--consistency', consistencyText(consistency)]),
      ...(token === undefined ? [] : ['--token', token]),
      ...(namespace === undefined ? [] : ['--namespace', namespace]),
    ];
  }

  /** What of the environment is for commands: what {@link flags} says has been read from it, and may have changed since. */
  environment(env: CliIo['env']): CliIo['env'] {
    return Object.fromEntries(Object.entries(env).filter(([name]) => !VARIABLES.has(name)));
  }

  /**
   * Obeys a line that begins with a dot.
   * @returns what is to be run instead; `null`: nothing; `exit`: the end
   * @throws BalsaError `INVALID_ARGUMENT`
   */
  obey(line: string, { output }: Context): 'exit' | readonly string[] | null {
    const [name = '', value, ...more] = line.split(/\s+/);
    if (more.length > 0) throw wrong(`${name} takes one word at most`);
    switch (name) {
      case '.exit':
      case '.quit':
        return 'exit';
      case '.nodes':
        return ['status'];
      case '.help':
        output.say(HELP);
        return null;
      case '.timing':
        this.timing = value === undefined ? !this.timing : parseSwitch(value);
        break;
      case '.consistency':
        if (value !== undefined) this.#change({ consistency: parsed(value) });
        break;
      case '.output':
        if (value !== undefined) this.#change({ output: parseFormat(value) });
        break;
      case '.namespace':
        if (value !== undefined) this.#change({ namespace: value === '-' ? undefined : value });
        break;
      default:
        throw unknownCommand(name);
    }
    output.say(this.#text(name));
    return null;
  }

  #change(change: { readonly [K in keyof GlobalOptions]?: GlobalOptions[K] | undefined }): void {
    const next: Record<string, unknown> = { ...this.#options, ...change };
    for (const [name, value] of Object.entries(next)) if (value === undefined) delete next[name];
    this.#options = next as unknown as GlobalOptions;
  }

  #text(name: string): string {
    const { consistency, output, namespace } = this.#options;
    switch (name) {
      case '.timing':
        return `timing ${this.timing ? 'on' : 'off'}`;
      case '.output':
        return `output ${output ?? 'default'}`;
      case '.namespace':
        return namespace === undefined ? 'no namespace' : `namespace ${namespace}`;
      default: {
        return `consistency ${consistencyText(consistency ?? 'linearizable')}`;
      }
    }
  }
}

const VARIABLES: ReadonlySet<string> = new Set(
  ['endpoints', 'timeout', 'stay', 'output', 'consistency', 'token', 'namespace'].map(
    (name) => `BALSA_${name.toUpperCase()}`,
  ),
);

export function timingText(elapsedMs: number): string {
  return elapsedMs < 1000 ? `${elapsedMs.toFixed(1)} ms` : formatDuration(elapsedMs);
}

/** Each with the words that may follow. */
export const DOT_COMMANDS: Readonly<Record<string, readonly string[]>> = {
  '.consistency': ['linearizable', 'session', 'bounded:500ms', 'any', 'ap-local'],
  '.timing': ['on', 'off'],
  '.output': [...FORMATS, 'default'],
  '.namespace': ['-'],
  '.nodes': [],
  '.help': [],
  '.exit': [],
};

const HELP = `Commands are those of balsa, without the word: help lists them, help put explains one.
  .consistency [level]  of reads: ${CONSISTENCY_FORM}
  .timing [on|off]      how long each command takes
  .output [form]        table, json, raw, or default
  .namespace [name|-]   work in a namespace; -: in none
  .nodes                the members, as balsa status
  .help                 this
  .exit                 the end; Ctrl-D, too
txn without a file takes the lines that follow, until one with . alone or the end of the input; Ctrl-C drops them.
Words are as in a shell: "two words", 'as it is', "a\\nline end", "\\xff a byte".`;

function unknownCommand(name: string): BalsaError {
  const near = nearest(name, Object.keys(DOT_COMMANDS));
  return wrong(
    `there is no ${name}${near === null ? '; .help lists all' : ` (Did you mean ${near}?)`}`,
  );
}

function parseSwitch(text: string): boolean {
  if (text === 'on' || text === 'off') return text === 'on';
  throw wrong('.timing is on or off');
}

function parseFormat(text: string): Format | undefined {
  if (text === 'default') return undefined;
  const format = FORMATS.find((known) => known === text);
  if (format !== undefined) return format;
  throw wrong(`.output is one of ${FORMATS.join(', ')}, default`);
}

function parsed(level: string): ReturnType<typeof parseConsistency> {
  try {
    return parseConsistency(level);
  } catch (cause) {
    if (!(cause instanceof InvalidArgumentError)) throw cause;
    throw new BalsaError('INVALID_ARGUMENT', `.consistency: ${cause.message}`, { cause });
  }
}

function wrong(message: string): BalsaError {
  return new BalsaError('INVALID_ARGUMENT', message);
}
