import { BalsaError } from './errors.js';

/** Names of procedures and aliases: they stand in references, `transfer@prod`, and in commands of a shell. */
const PROCEDURE_NAME = /^[A-Za-z_$][\w$-]{0,99}$/;

/** @throws BalsaError `INVALID_ARGUMENT` */
export function checkProcedureName(what: 'name' | 'alias', name: string): void {
  if (PROCEDURE_NAME.test(name)) return;
  throw new BalsaError(
    'INVALID_ARGUMENT',
    `${JSON.stringify(name)} is no ${what} of a procedure: letters, digits, _, $ and -, not a digit first, at most 100`,
    { outcome: 'not-applied' },
  );
}
