import type { Command } from 'commander';
import { FORMATS } from '../output.js';
import { quoteWord, splitWords } from '../words.js';
import { DOT_COMMANDS } from './session.js';

/** Gives keys that start with a prefix, a few of them. */
export type KeySource = (prefix: string) => Promise<readonly string[]>;

/** Gives the procedures that there are, as they are called. */
export type ProcedureSource = () => Promise<readonly string[]>;

export interface CompletionSources {
  readonly keys: KeySource;
  readonly procedures: ProcedureSource;
}

/** What may stand where the cursor is, and the part of the line that it would replace. */
export type Completions = [hits: string[], replaced: string];

/** Commands whose first argument is a key. */
const KEY_COMMANDS = ['get', 'put', 'del', 'range', 'count', 'watch'];
const KEY_FLAGS = ['--prefix', '--from', '--to'];
/** Of `proc`, those whose first argument is a procedure. */
const PROCEDURE_COMMANDS = ['show', 'call', 'rollback', 'remove', 'logs', 'stats'];
const LEVELS = DOT_COMMANDS['.consistency'] ?? [];

/** Completes commands, flags, what flags take, keys, and procedures. */
export async function complete(
  line: string,
  program: Command,
  sources: CompletionSources,
): Promise<Completions> {
  const { words, openQuote } = splitWords(line);
  const isNew = openQuote === null && (line === '' || /\s$/.test(line));
  const last = isNew ? undefined : words.at(-1);
  const replaced = last === undefined ? '' : line.slice(last.start);
  const before = (isNew ? words : words.slice(0, -1)).map((word) => word.text);
  const candidates = await candidatesFor(before, { text: last?.text ?? '', program, ...sources });
  return [candidates.filter((candidate) => candidate.startsWith(replaced)), replaced];
}

interface Place extends CompletionSources {
  /** The word under the cursor, as far as it is there. */
  readonly text: string;
  readonly program: Command;
}

async function candidatesFor(before: readonly string[], place: Place): Promise<readonly string[]> {
  const { text, program } = place;
  const [first] = before;
  if (first === undefined) {
    return [...program.commands.map((command) => command.name()), ...Object.keys(DOT_COMMANDS)];
  }
  if (first.startsWith('.')) return before.length === 1 ? (DOT_COMMANDS[first] ?? []) : [];
  const { command, rest } = findCommand(program, before);
  if (command === null) return [];
  const previous = before.at(-1) ?? '';
  if (previous === '--consistency') return LEVELS;
  if (previous === '-o' || previous === '--output') return FORMATS;
  const choices = command.options.find(({ long }) => long === previous)?.argChoices;
  if (choices !== undefined) return choices;
  const isOfProcedures = command.parent?.name() === 'proc';
  if (KEY_FLAGS.includes(previous) && !isOfProcedures) return await keysFor(place);
  if (text.startsWith('-')) {
    return [...command.options, ...program.options].flatMap(({ long }) => long ?? []);
  }
  if (command.commands.length > 0) return command.commands.map((child) => child.name());
  const isFirst = !rest.some((word) => !word.startsWith('-'));
  if (!isFirst) return [];
  if (isOfProcedures && PROCEDURE_COMMANDS.includes(command.name()))
    return await place.procedures();
  return KEY_COMMANDS.includes(command.name()) ? await keysFor(place) : [];
}

async function keysFor({ text, keys }: Place): Promise<string[]> {
  return (await keys(text)).map(quoteWord);
}

/** The command that the words name, and the words behind its name. */
export function findCommand(
  program: Command,
  words: readonly string[],
): { readonly command: Command | null; readonly rest: readonly string[] } {
  let command: Command | null = null;
  for (const [i, word] of words.entries()) {
    const children: readonly Command[] = (command ?? program).commands;
    const child = children.find((each) => each.name() === word || each.aliases().includes(word));
    if (child === undefined) return { command, rest: words.slice(i) };
    command = child;
  }
  return { command, rest: [] };
}

/** What is still to be typed behind the line, for a hint; empty: nothing to say. */
export function hintFor(line: string, program: Command): string {
  const { words, openQuote } = splitWords(line);
  if (words.length === 0 || openQuote !== null || !/\s$/.test(line)) return '';
  const { command, rest } = findCommand(
    program,
    words.map((word) => word.text),
  );
  if (command === null || rest.some((word) => word.startsWith('-'))) return '';
  if (command.commands.length > 0) return command.commands.map((child) => child.name()).join('|');
  return command.registeredArguments
    .slice(rest.length)
    .map((argument) => {
      const name = argument.variadic ? `${argument.name()}...` : argument.name();
      return argument.required ? `<${name}>` : `[${name}]`;
    })
    .join(' ');
}
