import type { Command } from 'commander';
import { Command as Parser } from 'commander';
import { BalsaError } from '../base/errors.js';
import type { Condition, Op } from '../client/client.js';
import { compare, type NumberComparison, type ValueComparison } from '../client/compare.js';
import { op } from '../client/op.js';
import { parseCount, parseIndex } from './flags.js';
import { parseKey, parseValue } from './key-argument.js';
import { addKeyFlags, type KeyFlags, type Keys, neededKeys } from './key-flags.js';
import { splitWords, type Word } from './words.js';

/** A transaction as text. The form is that of `etcdctl txn`: see {@link TXN_HELP}. */
export interface TxnText {
  readonly conditions: readonly Condition[];
  readonly success: readonly Step[];
  readonly failure: readonly Step[];
}

/** An operation, and how it was written. */
export interface Step {
  readonly op: Op;
  readonly text: string;
}

export const TXN_HELP = `
Three parts with an empty line between them: conditions, what is done when all of them hold, what is done
otherwise. A part may be empty, and those at the end left out. Lines that begin with # are comments.

  value("state") = "idle"
  mod("owner") < 17

  put state busy
  put owner me --lease 12

  get owner

Conditions: value, version, mod (last put), create and lease of a key, with = != < or >; exists(KEY) and
absent(KEY). With two keys, all from the first up to but not the second; count("a", "b") is how many they are.
With prefix(TEXT) for the key, all that start with it: count(prefix("user/")) < 10.

Operations: put KEY VALUE [--lease ID] [--prev] [--ignore-lease], put KEY --ignore-value,
del KEY, del --prefix TEXT, del --from KEY --to KEY [--prev],
get KEY, get --prefix TEXT [--limit N] [--reverse] [--keys-only] [--count-only].

Words are as in a shell: "two words", 'as it is', "a\\nline end", "\\xff a byte". Keys whose bytes are no text are
base64:AP8B, too; text:base64:AP8B is the key that is this text.`;

/** @throws BalsaError `INVALID_ARGUMENT` that names the line */
export function parseTxn(text: string): TxnText {
  const parts: Line[][] = [[]];
  const lines = text.replace(/\s+$/, '').split(/\r?\n/);
  for (const [i, raw] of lines.entries()) {
    const line = raw.trim();
    if (line.startsWith('#')) continue;
    if (line === '') parts.push([]);
    else parts.at(-1)?.push({ text: line, number: i + 1 });
  }
  const [conditions = [], success = [], failure = [], ...more] = parts;
  const extra = more.flat()[0];
  if (extra !== undefined) {
    throw wrong(extra, 'a fourth part: there are conditions, success and failure');
  }
  return {
    conditions: conditions.map((line) => at(line, () => parseCondition(line.text))),
    success: success.map((line) => ({ text: line.text, op: at(line, () => parseStep(line.text)) })),
    failure: failure.map((line) => ({ text: line.text, op: at(line, () => parseStep(line.text)) })),
  };
}

interface Line {
  readonly text: string;
  readonly number: number;
}

function wrong({ number }: Line, what: string, cause?: unknown): BalsaError {
  return new BalsaError('INVALID_ARGUMENT', `txn: line ${number}: ${what}`, { cause });
}

function at<T>(line: Line, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw wrong(line, message.replace(/^error: /, ''), cause);
  }
}

// ---------------------------------------------------------------------------------------------
// Conditions

const NUMBERS = {
  version: 'version',
  ver: 'version',
  mod: 'modRevision',
  modRevision: 'modRevision',
  create: 'createRevision',
  createRevision: 'createRevision',
  lease: 'lease',
  count: 'count',
} as const;

const CONDITION_FORM = 'a condition is like value("key") = "text" or mod("key") > 7';

function parseCondition(text: string): Condition {
  const head = /^([a-zA-Z]+)\s*\(/.exec(text);
  const name = head?.[1] ?? '';
  if (head === null) throw new Error(`${CONDITION_FORM}; found ${text}`);
  const { args, rest } = splitCall(text.slice(head[0].length));
  const place = toPlace(args);
  if (name === 'exists' || name === 'absent') {
    if (!('key' in place)) {
      const sign = name === 'exists' ? '> 0' : '= 0';
      throw new Error(`it is ${name}("key"); of several keys: count(prefix("text")) ${sign}`);
    }
    if (rest.trim() !== '') throw new Error(`it is ${name}("key")`);
    return name === 'exists' ? compare.exists(place.key) : compare.absent(place.key);
  }
  const tail = /^\s*(==|=|!=|<|>)\s*(.+)$/s.exec(rest);
  if (tail === null) throw new Error(CONDITION_FORM);
  const [, operator = '', right = ''] = tail;
  const { words, problem } = splitWords(right);
  if (problem !== null) throw new Error(problem);
  const value = words[0]?.text;
  if (value === undefined || words.length > 1) throw new Error(CONDITION_FORM);
  return toCondition(name, place, operator, value);
}

type Place = { readonly key: string | Uint8Array } | { readonly range: NonNullable<Keys['range']> };

function toCondition(name: string, place: Place, operator: string, value: string): Condition {
  if (name === 'value' || name === 'val') {
    const subject = 'key' in place ? compare.value(place.key) : compare.range(place.range).value;
    return compared(subject, operator, parseValue(value));
  }
  const known = Object.entries(NUMBERS).find(([word]) => word === name)?.[1];
  if (known === undefined) {
    throw new Error(`there is no ${name}(): value, version, mod, create, lease, count`);
  }
  return compared(numberOf(known, place), operator, parseIndex(value));
}

function numberOf(target: (typeof NUMBERS)[keyof typeof NUMBERS], place: Place): NumberComparison {
  if ('range' in place) return compare.range(place.range)[target];
  if (target === 'count') throw new Error('count is of two keys, or of prefix("text")');
  return compare[target](place.key);
}

function compared<V extends string | Uint8Array | number>(
  subject: V extends number ? NumberComparison : ValueComparison,
  operator: string,
  value: V,
): Condition {
  // Both kinds have the same four methods; the type above says which value goes with which.
  const side = subject as {
    [M in 'equals' | 'notEquals' | 'lessThan' | 'greaterThan']: (v: V) => Condition;
  };
  if (operator === '!=') return side.notEquals(value);
  if (operator === '<') return side.lessThan(value);
  return operator === '>' ? side.greaterThan(value) : side.equals(value);
}

function toPlace(args: readonly string[]): Place {
  const [first = '', second] = args.map((arg) => arg.trim());
  if (args.length > 2) throw new Error('a condition is of one key, or of two: from and to');
  const prefix = /^prefix\s*\((.*)\)$/s.exec(first);
  if (prefix !== null) return { range: { prefix: oneKey(prefix[1] ?? '') } };
  if (second === undefined) return { key: oneKey(first) };
  return { range: { from: oneKey(first), to: oneKey(second) } };
}

function oneKey(text: string): string | Uint8Array {
  const { words, problem } = splitWords(text);
  if (problem !== null) throw new Error(problem);
  const word = words[0]?.text;
  if (word !== undefined && words.length === 1) return parseKey(word);
  throw new Error(`a key is one word, in quotes if need be; found ${text || 'nothing'}`);
}

/** What stands in the parentheses, cut at its commas, and what stands behind them. */
function splitCall(text: string): { readonly args: readonly string[]; readonly rest: string } {
  const args: string[] = [];
  let start = 0;
  let depth = 0;
  let quote = '';
  for (let i = 0; i < text.length; i += 1) {
    const character = text[i] as string;
    if (quote !== '') {
      if (character === '\\' && quote === '"') i += 1;
      else if (character === quote) quote = '';
    } else if (character === '"' || character === "'") quote = character;
    else if (character === '(') depth += 1;
    else if (character === ',' && depth === 0) {
      args.push(text.slice(start, i));
      start = i + 1;
    } else if (character === ')' && depth === 0) {
      return { args: [...args, text.slice(start, i)], rest: text.slice(i + 1) };
    } else if (character === ')') depth -= 1;
  }
  throw new Error(`a ) is missing; ${CONDITION_FORM}`);
}

// ---------------------------------------------------------------------------------------------
// Operations

interface StepFlags extends KeyFlags {
  readonly lease?: number;
  readonly prev?: boolean;
  readonly ignoreValue?: boolean;
  readonly ignoreLease?: boolean;
  readonly limit?: number;
  readonly reverse?: boolean;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
}

function parseStep(text: string): Op {
  const { words, problem } = splitWords(text);
  if (problem !== null) throw new Error(problem);
  const [name, ...rest] = words.map((word: Word) => word.text);
  switch (name) {
    case 'put':
      return putStep(rest);
    case 'del':
      return delStep(rest);
    case 'get':
      return getStep(rest);
    default:
      throw new Error(`an operation is put, get or del; found ${name ?? 'nothing'}`);
  }
}

function putStep(words: readonly string[]): Op {
  const parser = stepParser('put')
    .option('--lease <id>', '', parseCount)
    .option('--prev')
    .option('--ignore-value')
    .option('--ignore-lease');
  const { args, flags } = parse(parser, words);
  const [key, value, ...more] = args;
  if (flags.lease !== undefined && flags.ignoreLease === true) {
    throw new Error('give --lease or --ignore-lease, not both');
  }
  const options = {
    lease: flags.lease,
    ignoreLease: flags.ignoreLease,
    returnPrevious: flags.prev === true,
  };
  if (key !== undefined && flags.ignoreValue === true && value === undefined) {
    return op.touch(parseKey(key), options);
  }
  if (key === undefined || value === undefined || more.length > 0) {
    throw new Error('it is put KEY VALUE; with blanks in them: "two words"');
  }
  return op.put(parseKey(key), parseValue(value), options);
}

function delStep(words: readonly string[]): Op {
  const { args, flags } = parse(addKeyFlags(stepParser('del')).option('--prev'), words);
  const { key, range } = keysOf('del', args, flags);
  const options = { returnPrevious: flags.prev === true };
  return range === undefined ? op.delete(key, options) : op.deleteRange({ ...range, ...options });
}

function getStep(words: readonly string[]): Op {
  const parser = addKeyFlags(stepParser('get'))
    .option('--limit <n>', '', parseCount)
    .option('--reverse')
    .option('--keys-only')
    .option('--count-only');
  const { args, flags } = parse(parser, words);
  const { key, range } = keysOf('get', args, flags);
  const { limit, reverse, keysOnly, countOnly } = flags;
  if (range !== undefined) return op.range({ ...range, limit, reverse, keysOnly, countOnly });
  if ((limit ?? reverse ?? keysOnly ?? countOnly) === undefined) return op.get(key);
  throw new Error('--limit and the like are for --prefix, --from and --to');
}

/** As in etcd two arguments are a range, from the first up to but not the second. */
function keysOf(name: string, args: readonly string[], flags: KeyFlags): Keys {
  const [first, second, ...more] = args;
  if (more.length > 0) throw new Error(`${name}: too many words`);
  if (second === undefined || first === undefined) return neededKeys(name, first, flags);
  return neededKeys(name, undefined, { ...flags, from: first, to: second });
}

function stepParser(name: string): Command {
  const silent = { writeOut: () => undefined, writeErr: () => undefined };
  return new Parser(name)
    .exitOverride()
    .configureOutput(silent)
    .helpOption(false)
    .argument('[words...]');
}

function parse(
  parser: Command,
  words: readonly string[],
): { readonly args: readonly string[]; readonly flags: StepFlags } {
  parser.parse([...words], { from: 'user' });
  return { args: parser.args, flags: parser.opts() };
}
