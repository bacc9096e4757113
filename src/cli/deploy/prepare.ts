import { resolve } from 'node:path';
import { BalsaError } from '../../base/errors.js';
import type { ProcedureBundle } from '../../compute/bundle.js';
import { isOfPackage, placeText } from '../../compute/source-place.js';
import { refuseMissing } from '../files.js';
import type { Diagnostic } from './typescript.js';

export interface PrepareOptions {
  /** Check the types, too. */
  readonly types: boolean;
  readonly signal: AbortSignal;
  /** Types were not checked, and why. */
  readonly onUnchecked: (why: string) => void;
  /**
   * Told of each file that has a part in it, before it is read as a rule; and of what may be there some day, when something
   * is missing.
   */
  readonly onFile?: (path: string) => void;
}

/** Type errors that are shown. */
const SHOWN_MAX = 20;

/**
 * What is to be deployed of a file: one piece of code, whose types are right.
 * @throws BalsaError `FILE_UNREADABLE`, `FILE_INVALID`, `PROCEDURE_LIMIT`, `CANCELLED`
 */
export async function prepare(file: string, options: PrepareOptions): Promise<ProcedureBundle> {
  const { onFile = () => {} } = options;
  const path = resolve(file);
  // Before anything else: it may come to be there later.
  onFile(path);
  await refuseMissing(file);
  const { bundleProcedures } = await import('../../compute/bundle.js');
  const made: string[] = [];
  const bundle = await bundleProcedures(file, {
    onFile: (each) => {
      made.push(each);
      onFile(each);
    },
  });
  if (options.types && made.some((each) => TYPED.test(each))) await check(path, made, options);
  return bundle;
}

/** JavaScript has no types that could be wrong. */
const TYPED = /\.[cm]?tsx?$/;

async function check(
  path: string,
  made: readonly string[],
  { signal, onUnchecked, onFile = () => {} }: PrepareOptions,
): Promise<void> {
  const { checkTypes } = await import('./type-check.js');
  const check = await checkTypes(path, made, signal).catch((cause: unknown) => {
    if (!signal.aborted) throw cause;
    throw new BalsaError('CANCELLED', 'interrupted', { cause });
  });
  if (!check.checked) return onUnchecked(check.why);
  for (const each of check.files) if (!isOfPackage(each)) onFile(each);
  if (check.errors.length === 0) return;
  const shown = check.errors.slice(0, SHOWN_MAX).map(diagnosticText);
  const more = check.errors.length - shown.length;
  if (more > 0) shown.push(`and ${more} more`);
  throw new BalsaError('FILE_INVALID', shown.join('\n'), {
    details: { hint: '--no-typecheck takes it as it is' },
  });
}

function diagnosticText({ path, line, column, code, text }: Diagnostic): string {
  const where = path === null ? '' : `${placeText({ path, line, column })}: `;
  const [first = '', ...more] = text.split('\n');
  return [`${where}${first} (${code})`, ...more].join('\n');
}
