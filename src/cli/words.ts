import { joinRawBytes, rawByte } from './key-argument.js';

/** Words of a line, as a shell reads them: blanks between, quotes around, `\` before a special character. */

export interface Word {
  readonly text: string;
  /** Where it begins in the line. */
  readonly start: number;
  /** It was written with quotes or `\`: it means itself. */
  readonly quoted: boolean;
}

export interface Words {
  readonly words: readonly Word[];
  /** The quote that is open at the end of the line, if one is. */
  readonly openQuote: '"' | "'" | null;
  /** Why the words are not those that were meant: an open quote, or a `\` before what has no meaning. */
  readonly problem: string | null;
}

/** In double quotes; `\xNN` is the byte, `\uNNNN` the character. */
const ESCAPES: Readonly<Record<string, string>> = {
  ...{ n: '\n', t: '\t', r: '\r', 0: '\0', e: '\u001b' },
  ...{ '"': '"', "'": "'", '\\': '\\', $: '$', '`': '`' },
};

/**
 * Cuts a line into words. In double quotes `\n`, `\t`, `\r`, `\0`, `\xNN` and `\uNNNN` are what they are in
 * most languages; in single quotes everything is itself. Bytes that are no text: see `parseKey`.
 */
export function splitWords(line: string): Words {
  const words: Word[] = [];
  let word: { text: string; start: number; quoted: boolean } | null = null;
  let quote: '"' | "'" | null = null;
  let problem: string | null = null;
  for (let i = 0; i < line.length; i += 1) {
    const character = line[i] as string;
    if (quote === null && /\s/.test(character)) {
      if (word !== null) words.push(finished(word));
      word = null;
      continue;
    }
    word ??= { text: '', start: i, quoted: false };
    if (quote === null && (character === '"' || character === "'")) {
      quote = character;
      word.quoted = true;
    } else if (character === quote) {
      quote = null;
    } else if (character === '\\' && quote !== "'" && i + 1 < line.length) {
      const meant = quote === '"' ? readEscape(line.slice(i + 1, i + 6)) : null;
      if (meant !== null) problem ??= meant.problem;
      word.text += meant?.text ?? (line[i + 1] as string);
      i += meant?.length ?? 1;
      word.quoted = true;
    } else {
      word.text += character;
    }
  }
  if (word !== null) words.push(finished(word));
  if (quote !== null) problem = `a quote is opened and never closed: ${quote}`;
  return { words, openQuote: quote, problem };
}

function finished(word: Word): Word {
  return { ...word, text: joinRawBytes(word.text) };
}

interface Escape {
  readonly text: string;
  /** Characters behind the `\`. */
  readonly length: number;
  readonly problem: string | null;
}

/** @param behind what stands behind the `\`, as far as an escape can reach */
function readEscape(behind: string): Escape {
  const byte = /^x([0-9a-fA-F]{2})/.exec(behind)?.[1];
  if (byte !== undefined) {
    return { text: rawByte(Number.parseInt(byte, 16)), length: 3, problem: null };
  }
  const code = /^u([0-9a-fA-F]{4})/.exec(behind)?.[1];
  // Half of a character is none.
  if (code !== undefined && !/^d[89a-f]/i.test(code)) {
    const text = String.fromCharCode(Number.parseInt(code, 16));
    return { text, length: 5, problem: null };
  }
  const [next = ''] = behind;
  const text = Object.hasOwn(ESCAPES, next) ? ESCAPES[next] : undefined;
  if (text !== undefined) return { text, length: 1, problem: null };
  const problem = `in double quotes there is no \\${next}; there are \\n \\t \\r \\0 \\e \\" \\' \\\\ \\$ \\\`, \\xNN (a byte) and \\uNNNN`;
  return { text: next, length: 1, problem };
}

/** The text as one word of a line. */
export function quoteWord(text: string): string {
  if (/^[^\s"'\\]+$/.test(text)) return text;
  const escaped = text
    .replace(/["\\]/g, '\\$&')
    .replaceAll('\n', '\\n')
    .replaceAll('\t', '\\t')
    .replaceAll('\r', '\\r')
    .replaceAll('\0', '\\0');
  return `"${escaped}"`;
}
