import { cutNaming } from '../../base/cut-text.js';
import { BalsaError } from '../../base/errors.js';
import { cutError } from '../call-view.js';
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

type ErrorLimits = Pick<CallLimits, 'errorBytesMax' | 'errorStackBytesMax'>;

/** What its caller is told. */
export function errorOf(
  ending: Exclude<Ending, { type: 'done' }>,
  limits: ErrorLimits,
): BalsaError {
  if (ending.type === 'broke') return failedError(ending.message, '', limits);
  const { name, message, stack } = ending.thrown;
  const shown = name === '' || name === 'Error' ? message : `${name}: ${message}`;
  return failedError(`the procedure threw ${shown}`, stack, limits);
}

function failedError(message: string, stack: string, limits: ErrorLimits): BalsaError {
  const { errorStackBytesMax } = limits;
  const details = { stack: cutNaming(stack, errorStackBytesMax, 'errorStackBytesMax') };
  return cutError(
    new BalsaError('PROCEDURE_FAILED', message, { outcome: 'not-applied', details }),
    limits,
  );
}
