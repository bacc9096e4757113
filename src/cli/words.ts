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
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', 0: '\0' };

/**
 * Cuts a line into words. In double quotes `\n`, `\t`, `\r` and `\0` are what they are in most languages;
 * in single quotes everything is itself.
 */
export function splitWords(line: string): Words {
  const words: Word[] = [];
  let word: { text: string; start: number; quoted: boolean } | null = null;
  let quote: '"' | "'" | null = null;
  for (let i = 0; i < line.length; i += 1) {
    const character = line[i] as string;
    if (quote === null && /\s/.test(character)) {
      if (word !== null) words.push(word);
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
      i += 1;
      const next = line[i] as string;
      word.text += quote === '"' ? (ESCAPES[next] ?? next) : next;
      word.quoted = true;
    } else {
      word.text += character;
    }
  }
  if (word !== null) words.push(word);
  return { words, openQuote: quote };
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
