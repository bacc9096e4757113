import type { Command } from 'commander';
import { splitWords } from '../words.js';

/** What ends the text of a transaction in a shell. */
export const TXN_END = '.';

export const TXN_LINES_HELP =
  'conditions, empty line, what then, empty line, what otherwise; a line with . alone sends it';

/**
 * Whether the line is a `txn` whose text is in the lines that follow. When in doubt it is: what was meant as
 * a step of a transaction must not be run without its conditions.
 *
 * @param program knows which flags take a value
 */
export function takesTxnLines(line: string, program: Command): boolean {
  const { words, problem } = splitWords(line);
  const texts = words.map((word) => word.text);
  if (texts[0] === 'balsa') texts.shift();
  let name: string | undefined;
  let isUnclear = problem !== null;
  for (let i = 0; i < texts.length; i += 1) {
    const text = texts[i] as string;
    if (text === '-h' || text === '--help') return false;
    if (text !== '-' && text.startsWith('-')) {
      const [flag = ''] = text.split('=');
      const option = program.options.find(({ short, long }) => flag === short || flag === long);
      if (option === undefined) isUnclear = true;
      else if (option.required && text === flag) i += 1;
    } else if (name === undefined) {
      name = text;
      if (name !== 'txn') return false;
    } else if (text !== '-') {
      // A file, unless the words before it may mean something else.
      return isUnclear;
    }
  }
  return name === 'txn';
}
