import { InvalidArgumentError } from 'commander';
import { BalsaError } from '../../base/errors.js';
import { checkProcedureName } from '../../base/procedure-name.js';
import { nearest } from '../../base/suggest.js';
import type { ProcedureInfo } from '../../client/client.js';
import { oneLine } from '../printable.js';

export const DEFAULT_ALIAS = 'prod';

/** Digits of a hash that are shown to people. */
const SHOWN_DIGITS = 12;

/** Enough of a hash to know it again. */
export function shortHash(hash: string): string {
  return hash.slice(0, SHOWN_DIGITS);
}

/** The prefix whose writes a procedure is called with, for people. */
export function triggerText(prefix: string): string {
  return oneLine(prefix);
}

/** `transfer@staging`, taken apart. */
export interface Reference {
  readonly name: string;
  readonly alias: string;
}

export function referenceText({ name, alias }: Reference): string {
  return `${name}@${alias}`;
}

/** @throws BalsaError `INVALID_ARGUMENT` */
export function parseReference(text: string): Reference {
  const { name, alias = DEFAULT_ALIAS } = splitReference(text);
  checkProcedureName('name', name);
  checkProcedureName('alias', alias);
  return { name, alias };
}

/** `alias` absent: none was given. */
export function splitReference(text: string): { readonly name: string; readonly alias?: string } {
  const at = text.indexOf('@');
  return at === -1 ? { name: text } : { name: text.slice(0, at), alias: text.slice(at + 1) };
}

export function parseAlias(text: string): string {
  try {
    checkProcedureName('alias', text);
    return text;
  } catch {
    throw new InvalidArgumentError(
      'It must be of letters, digits, _, $ and -, and not begin with a digit.',
    );
  }
}

/** @throws BalsaError `PROCEDURE_NOT_FOUND` that names one that may be meant */
export function find(reference: Reference, procedures: readonly ProcedureInfo[]): ProcedureInfo {
  const { name, alias } = reference;
  const found = procedures.find((one) => one.name === name && one.alias === alias);
  if (found !== undefined) return found;
  const aliases = procedures.filter((one) => one.name === name).map(referenceText);
  const names = procedures.filter((one) => one.alias === alias).map((one) => one.name);
  const near = nearest(name, names);
  const others =
    aliases.length > 0
      ? `; there is ${aliases.join(', ')}`
      : near === null
        ? ''
        : ` (Did you mean ${near}?)`;
  throw new BalsaError(
    'PROCEDURE_NOT_FOUND',
    `there is no procedure ${referenceText(reference)}${others}`,
    { details: { procedure: referenceText(reference) } },
  );
}
