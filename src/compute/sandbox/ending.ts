import { cutNaming } from '../../base/cut-text.js';
import { BalsaError } from '../../base/errors.js';
import { cutError, limitReached } from '../call-view.js';
import type { CallLimits } from '../execution.js';

/** What a call says of its end. */
export type Ending =
  | { readonly type: 'done'; readonly result: string }
  | { readonly type: 'threw'; readonly thrown: Thrown }
  /** The interpreter could not go on. */
  | { readonly type: 'broke'; readonly message: string };

/** Texts that its own code has made of it. */
export interface Thrown {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
}

type ErrorLimits = Pick<
  CallLimits,
  'errorBytesMax' | 'errorStackBytesMax' | 'errorStackLinesMax' | 'memoryBytesMax' | 'stackBytesMax'
>;

/** What the interpreter says of a limit of its own, and the engine that runs it of its stack. */
const LIMIT_OF: ReadonlyMap<string, 'memoryBytesMax' | 'stackBytesMax'> = new Map([
  ['InternalError: out of memory', 'memoryBytesMax'],
  // More than any memory that a call may have.
  ['InternalError: string too long', 'memoryBytesMax'],
  ['InternalError: stack overflow', 'stackBytesMax'],
  // Of a text that is parsed.
  ['SyntaxError: stack overflow', 'stackBytesMax'],
  ['out of memory', 'memoryBytesMax'],
  ['stack overflow', 'stackBytesMax'],
  ['Maximum call stack size exceeded', 'stackBytesMax'],
]);

/** What its caller is told. */
export function errorOf(
  ending: Exclude<Ending, { type: 'done' }>,
  limits: ErrorLimits,
): BalsaError {
  if (ending.type === 'broke') {
    const limit = LIMIT_OF.get(ending.message);
    if (limit !== undefined) return limitReached(limit, limits[limit]);
    return failedError(ending.message, '', limits);
  }
  const { name, message, stack } = ending.thrown;
  const shown = name === '' || name === 'Error' ? message : `${name}: ${message}`;
  const limit = LIMIT_OF.get(`${name}: ${message}`);
  if (limit === undefined) return failedError(`the procedure threw ${shown}`, stack, limits);
  const { code, message: told, outcome, details } = limitReached(limit, limits[limit]);
  return new BalsaError(code, told, {
    outcome,
    details: { ...details, stack: shownStack(stack, limits) },
  });
}

function failedError(message: string, stack: string, limits: ErrorLimits): BalsaError {
  const details = { stack: shownStack(stack, limits) };
  return cutError(
    new BalsaError('PROCEDURE_FAILED', message, { outcome: 'not-applied', details }),
    limits,
  );
}

/** Without what is around the code of the procedures: that is the same each time. */
function shownStack(
  stack: string,
  { errorStackBytesMax, errorStackLinesMax }: ErrorLimits,
): string {
  const lines = stack.split('\n').filter((line) => line !== '' && !/\(balsa\.js[:)]/.test(line));
  const shown = lines.slice(0, errorStackLinesMax);
  const left = lines.length - shown.length;
  const told = left > 0 ? [`    … (${left} more)`] : [];
  return cutNaming([...shown, ...told].join('\n'), errorStackBytesMax, 'errorStackBytesMax');
}
