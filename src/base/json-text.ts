import { BalsaError } from './errors.js';

/**
 * What the text says, if it is JSON. `JSON.parse` does not always tell where it is not.
 *
 * @param subject of the sentence "… no JSON": `the arguments are`
 * @throws BalsaError `INVALID_ARGUMENT` that says where, and what is wrong there
 */
export function parseJson(subject: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    const fault = findFault(text);
    // It is right as far as we can see: then it is for JSON.parse to say what it does not like.
    if (fault === null) throw wrong(`${subject} no JSON: ${(cause as Error).message}`, cause);
    const { column, lineText } = placeIn(text, fault.at);
    const message = `${subject} no JSON: ${faultText(text, fault)}\n${pointAt(lineText, column)}`;
    throw wrong(message, cause);
  }
}

/** Where it is, and what is wrong there. */
export function faultText(text: string, { at, problem }: Fault): string {
  const { line, column } = placeIn(text, at);
  return `line ${line}, column ${column}: ${problem}`;
}

function wrong(message: string, cause: unknown): BalsaError {
  return new BalsaError('INVALID_ARGUMENT', message, { cause });
}

export interface Fault {
  /** Index of the character that cannot stand there; the length of the text: something is missing. */
  readonly at: number;
  readonly problem: string;
}

/** The first thing that makes the text something else than JSON; `null`: it is JSON. */
export function findFault(text: string): Fault | null {
  try {
    new Reader(text).readAll();
    return null;
  } catch (error) {
    if (error instanceof FaultError) return error;
    throw error;
  }
}

class FaultError extends Error implements Fault {
  readonly at: number;
  readonly problem: string;

  constructor(at: number, problem: string) {
    super(problem);
    this.at = at;
    this.problem = problem;
  }
}

const WORDS = ['true', 'false', 'null'];
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
/** What begins like a number, or a word. */
const TOKEN = /[\w.+$-]+/y;
const CLOSERS: Readonly<Record<string, string>> = { '{': '}', '[': ']' };

/** Goes through a text as the grammar of JSON (RFC 8259) says, without recursion: texts may be nested deeply. */
class Reader {
  readonly #text: string;
  #at = 0;
  /** Objects and arrays that are open, by how they began. */
  readonly #open: string[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  /** @throws FaultError */
  readAll(): void {
    do this.#value();
    while (this.#afterValue());
    if (this.#at < this.#text.length) {
      throw this.#fault(`there is more behind the end, beginning with ${this.#found()}`);
    }
  }

  /** Up to the next place where a value begins or has ended. */
  #value(): void {
    for (;;) {
      this.#blanks();
      const character = this.#text[this.#at] ?? '';
      if (character === '{' || character === '[') {
        this.#at += 1;
        this.#open.push(character);
        this.#blanks();
        // Nothing in it: it ends as it began.
        if (this.#text[this.#at] === CLOSERS[character]) return;
        if (character === '{') this.#name();
        continue;
      }
      if (character === '"') this.#string();
      else this.#token(character);
      return;
    }
  }

  /** @returns whether another value is to come */
  #afterValue(): boolean {
    for (;;) {
      this.#blanks();
      const open = this.#open.at(-1);
      if (open === undefined) return false;
      const character = this.#text[this.#at];
      if (character === CLOSERS[open]) {
        this.#at += 1;
        this.#open.pop();
        continue;
      }
      if (character !== ',')
        throw this.#fault(`a comma or ${CLOSERS[open]} is expected, found ${this.#found()}`);
      this.#at += 1;
      this.#blanks();
      if (this.#text[this.#at] === CLOSERS[open]) {
        throw this.#fault(`there is a comma before the ${CLOSERS[open]}`);
      }
      if (open === '{') this.#name();
      return true;
    }
  }

  #name(): void {
    this.#blanks();
    if (this.#text[this.#at] !== '"') {
      throw this.#fault(`a name in double quotes is expected, found ${this.#found()}`);
    }
    this.#string();
    this.#blanks();
    if (this.#text[this.#at] !== ':') {
      throw this.#fault(`a colon is expected behind the name, found ${this.#found()}`);
    }
    this.#at += 1;
  }

  #string(): void {
    const start = this.#at;
    for (this.#at += 1; ; this.#at += 1) {
      const character = this.#text[this.#at];
      if (character === undefined) throw new FaultError(start, 'the text in quotes has no end');
      if (character < ' ') {
        throw this.#fault(
          `a text in quotes must have ${JSON.stringify(character).slice(1, -1)} as an escape`,
        );
      }
      if (character === '"') break;
      if (character === '\\') this.#escape();
    }
    this.#at += 1;
  }

  /** The last character of the escape is left to the caller. */
  #escape(): void {
    const next = this.#text[this.#at + 1] ?? '';
    if (next === 'u') {
      if (!/^[0-9a-fA-F]{4}$/.test(this.#text.slice(this.#at + 2, this.#at + 6))) {
        throw this.#fault('\\u is followed by four hexadecimal digits');
      }
      this.#at += 5;
      return;
    }
    if (next === '' || !'"\\/bfnrt'.includes(next)) {
      throw this.#fault(`there is no escape \\${next}`);
    }
    this.#at += 1;
  }

  #token(character: string): void {
    const token = this.#match(TOKEN);
    if (WORDS.includes(token)) {
      this.#at += token.length;
      return;
    }
    if (/[-\d]/.test(character)) {
      const number = this.#match(NUMBER);
      if (number === '' || number !== token) throw this.#fault(`${token} is no number of JSON`);
      this.#at += number.length;
      return;
    }
    throw this.#fault(`a value is expected, found ${this.#found()}${remark(character)}`);
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text)?.[0] ?? '';
  }

  #blanks(): void {
    while (' \t\r\n'.includes(this.#text[this.#at] ?? 'x')) this.#at += 1;
  }

  #found(): string {
    const character = this.#text.codePointAt(this.#at);
    if (character === undefined) return 'the end';
    return this.#match(TOKEN) || String.fromCodePoint(character);
  }

  #fault(problem: string): FaultError {
    return new FaultError(this.#at, problem);
  }
}

function remark(character: string): string {
  return character === "'" ? '; texts stand in double quotes' : '';
}

function placeIn(
  text: string,
  at: number,
): { readonly line: number; readonly column: number; readonly lineText: string } {
  const before = text.slice(0, at);
  const start = before.lastIndexOf('\n') + 1;
  const end = text.indexOf('\n', at);
  return {
    line: before.split('\n').length,
    column: at - start + 1,
    lineText: text.slice(start, end === -1 ? undefined : end),
  };
}

/** Of a line, what is shown around the place. */
const AROUND = 40;

function pointAt(line: string, column: number): string {
  const start = Math.max(0, column - 1 - AROUND);
  const shown = line.slice(start, column - 1 + AROUND).replace(/\p{Cc}/gu, ' ');
  return `  ${shown}\n  ${' '.repeat(column - 1 - start)}^`;
}
