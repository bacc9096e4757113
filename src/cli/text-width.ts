import { stripVTControlCharacters } from 'node:util';

/** Columns that text takes on a terminal: wide characters two, combining marks none. */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of stripVTControlCharacters(text)) width += characterWidth(character);
  return width;
}

/** The start of `text` that fits `columns`, with `…` when something is missing. */
export function clip(text: string, columns: number): string {
  // A character takes at most two columns and most take one: no need to measure a megabyte.
  const head = text.length > columns * 4 ? text.slice(0, columns * 4) : text;
  if (head === text && textWidth(text) <= columns) return text;
  let width = 0;
  let clipped = '';
  for (const character of head) {
    width += characterWidth(character);
    if (width > columns - 1) break;
    clipped += character;
  }
  return `${clipped}…`;
}

export function padEnd(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - textWidth(text)));
}

export function padStart(text: string, columns: number): string {
  return ' '.repeat(Math.max(0, columns - textWidth(text))) + text;
}

const ZERO_WIDTH = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|^\p{Emoji_Presentation}$/u;

function characterWidth(character: string): number {
  if (character <= '~') return 1;
  if (ZERO_WIDTH.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}
