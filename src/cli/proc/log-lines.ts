import type { LogLine } from '../../client/client.js';
import { DEFAULT_ALIAS, splitReference } from './reference.js';

/** A replica keeps some lines and gives them all, the oldest first: what it has to tell is what was not there before. */
export interface Addition {
  readonly lines: readonly LogLine[];
  /** There may have been more, which it does not keep any more. */
  readonly mayLack: boolean;
}

/** What `now` has that `before` had not, where the oldest may have gone meanwhile. */
export function linesSince(before: readonly LogLine[], now: readonly LogLine[]): Addition {
  const last = before.at(-1);
  if (last === undefined) return { lines: now, mayLack: false };
  for (let end = Math.min(before.length, now.length); end > 0; end -= 1) {
    if (isSame(now[end - 1], last) && endsWith(before, now.slice(0, end))) {
      return { lines: now.slice(end), mayLack: false };
    }
  }
  // One that was started again begins with few.
  return { lines: now, mayLack: now.length >= before.length };
}

function endsWith(lines: readonly LogLine[], end: readonly LogLine[]): boolean {
  const start = lines.length - end.length;
  for (let i = end.length - 1; i >= 0; i -= 1) {
    if (!isSame(lines[start + i], end[i])) return false;
  }
  return true;
}

function isSame(a: LogLine | undefined, b: LogLine | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  return (
    a.timeMs === b.timeMs &&
    a.procedure === b.procedure &&
    a.line === b.line &&
    a.isError === b.isError
  );
}

/** Calls of what `wanted` names: of one alias, or without one of all. */
export function isOf(procedure: string, wanted: string): boolean {
  const { name, alias } = splitReference(wanted);
  const called = splitReference(procedure);
  if (called.name !== name) return false;
  return alias === undefined || (called.alias ?? DEFAULT_ALIAS) === alias;
}
