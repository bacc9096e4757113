import { parseArgs } from 'node:util';
import { BalsaError } from '../../src/base/errors.js';

/** A flag of a benchmark, by the kind of what it takes. */
export interface Flag<T> {
  readonly fallback: T;
  /** Empty where the benchmark has a text of its own for `--help`. */
  readonly about: string;
  /** What it takes, as an error names it. */
  readonly takes: string;
  /** `undefined`: it is none. */
  readonly parse: (text: string) => T | undefined;
}

type Flags = Readonly<Record<string, Flag<unknown>>>;
export type FlagValues<F extends Flags> = {
  readonly [Name in keyof F]: F[Name] extends Flag<infer T> ? T : never;
};

const EXIT_WRONG_USE = 2;

export function count(fallback: number, about = ''): Flag<number> {
  return { fallback, about, takes: 'a whole number above 0', parse: countIn };
}

export function counts(fallback: readonly number[], about = ''): Flag<readonly number[]> {
  const takes = 'whole numbers above 0, with commas between them';
  return { fallback, about, takes, parse: (text) => each(text, countIn) };
}

/** A number that need not be a whole one. */
export function amount(fallback: number, about = ''): Flag<number> {
  return { fallback, about, takes: 'a number above 0', parse: amountIn };
}

export function amounts(fallback: readonly number[], about = ''): Flag<readonly number[]> {
  const takes = 'numbers above 0, with commas between them';
  return { fallback, about, takes, parse: (text) => each(text, amountIn) };
}

export function oneOf<const W extends string>(
  words: readonly W[],
  fallback: W,
  about = '',
): Flag<W> {
  const parse = (text: string): W | undefined => words.find((word) => word === text);
  return { fallback, about, takes: `one of ${words.join(', ')}`, parse };
}

export function someOf<const W extends string>(
  words: readonly W[],
  fallback: readonly W[],
  about = '',
): Flag<readonly W[]> {
  const parse = (text: string): readonly W[] | undefined =>
    each(text, (one) => words.find((word) => word === one));
  return { fallback, about, takes: `some of ${words.join(', ')}, with commas between them`, parse };
}

/** A file or a folder, or some other text. */
export function text(about = ''): Flag<string | undefined> {
  return { fallback: undefined, about, takes: 'a text', parse: (given) => given || undefined };
}

/** What nearly all of them take. */
export const JSON_FILE: Flag<string | undefined> = text('the table as JSON, into this file');

/**
 * The flags of the command line; each is named as its value is, with hyphens (`valueBytes`: `--value-bytes`). Prints what there is
 * for `--help`, or in one line what is wrong, and ends the process.
 * @param command as it is run: `bench:reads`
 */
export function benchFlags<F extends Flags>(command: string, flags: F): FlagValues<F> {
  const args = process.argv.slice(2);
  if (args.includes('--help')) {
    console.log(usage(command, flags));
    process.exit(0);
  }
  try {
    return parseFlags(flags, args);
  } catch (error) {
    if (!(error instanceof BalsaError)) throw error;
    console.error(`${command}: ${error.message}; --help names the flags`);
    process.exit(EXIT_WRONG_USE);
  }
}

/** @throws BalsaError `INVALID_ARGUMENT` */
export function parseFlags<F extends Flags>(flags: F, args: readonly string[]): FlagValues<F> {
  const given = givenFlags(flags, args);
  const values = Object.entries(flags).map(([name, flag]) => {
    const value = given[hyphens(name)];
    if (value === undefined) return [name, flag.fallback];
    const parsed = flag.parse(value);
    if (parsed !== undefined) return [name, parsed];
    throw new BalsaError(
      'INVALID_ARGUMENT',
      `--${hyphens(name)} must be ${flag.takes}, found ${JSON.stringify(value)}`,
    );
  });
  return Object.fromEntries(values) as FlagValues<F>;
}

export function usage(command: string, flags: Flags): string {
  const named = Object.entries(flags).map(([name, { fallback, takes, about }]) => {
    const kind = fallback === undefined ? '' : ` (${takes}; default: ${String(fallback)})`;
    return [`  --${hyphens(name)}`, `${about}${kind}`] as const;
  });
  const width = Math.max(0, ...named.map(([name]) => name.length)) + 3;
  const lines = named.map(([name, about]) => `${name.padEnd(width)}${about}`);
  return [`npm run ${command} -- [flags]`, ...lines].join('\n');
}

function givenFlags(flags: Flags, args: readonly string[]): Record<string, string | undefined> {
  const options = Object.keys(flags).map((name) => [hyphens(name), { type: 'string' }] as const);
  try {
    return parseArgs({ args: [...args], options: Object.fromEntries(options) }).values;
  } catch (cause) {
    throw new BalsaError('INVALID_ARGUMENT', (cause as Error).message, { cause });
  }
}

function hyphens(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function countIn(given: string): number | undefined {
  const value = amountIn(given);
  return Number.isSafeInteger(value) ? value : undefined;
}

function amountIn(given: string): number | undefined {
  const value = given.trim() === '' ? Number.NaN : Number(given);
  return Number.isFinite(value) && value > 0 ? value : undefined;
}

function each<T>(given: string, parse: (word: string) => T | undefined): T[] | undefined {
  const values = given.split(',').map(parse);
  return values.some((value) => value === undefined) ? undefined : (values as T[]);
}
