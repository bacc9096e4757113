import { SourceMap } from 'node:module';
import { isAbsolute, relative, resolve } from 'node:path';

/** A place in a file of the author; lines and columns count from 1. */
export interface SourcePlace {
  readonly path: string;
  readonly line: number;
  readonly column: number;
}

/** Text was put in the place of another one, in the first line of the code. */
export interface Replacement {
  /** Where it began before. */
  readonly index: number;
  readonly grownBy: number;
}

/** `src/bank.ts:3:14`; from here on when it lies below, else from the root. */
export function placeText({ path, line, column }: SourcePlace): string {
  const below = relative('.', path);
  const isBelow = below !== '' && !below.startsWith('..') && !isAbsolute(below);
  return `${isBelow ? below : path}:${line}:${column}`;
}

/** The file belongs to a package that was installed. */
export function isOfPackage(path: string): boolean {
  return /[\\/]node_modules[\\/]/.test(path);
}

/** The code of a bundle begins in this line of what the sandbox runs. */
const LINE_FIRST = 2;

/**
 * Where code threw, by the stack that the sandbox tells.
 * @returns `null`: nowhere in the author's code, as far as it is known
 */
export function thrownAt(
  stack: string,
  made: {
    readonly code: string;
    readonly sourceMap: string;
    readonly replaced: readonly Replacement[];
    readonly folder: string;
  },
): SourcePlace | null {
  if (made.sourceMap === '') return null;
  const map = new SourceMap(JSON.parse(made.sourceMap));
  for (const [, line, column] of stack.matchAll(/\(procedures\.js:(\d+):(\d+)\)/g)) {
    const row = Number(line) - LINE_FIRST;
    const before = columnBefore(made, row, Number(column) - 1);
    const found = map.findEntry(row, before);
    if (!('originalSource' in found)) continue;
    const { originalSource, originalLine, originalColumn } = found;
    const path = resolve(made.folder, originalSource);
    if (isOfPackage(path)) continue;
    return { path, line: originalLine + 1, column: originalColumn + 1 };
  }
  return null;
}

/** The column in the code as it was made, before anything was replaced in it. */
function columnBefore(
  { code, replaced }: { readonly code: string; readonly replaced: readonly Replacement[] },
  row: number,
  column: number,
): number {
  // Lines end in texts of the author alone: they are few.
  let start = 0;
  for (let i = 0; i < row; i += 1) start = code.indexOf('\n', start) + 1;
  let grown = 0;
  let grownBefore = 0;
  for (const { index, grownBy } of replaced) {
    if (index + grown < start) grownBefore += grownBy;
    else if (index + grown > start + column) break;
    grown += grownBy;
  }
  return column - (grown - grownBefore);
}
