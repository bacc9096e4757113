import { z } from 'zod';
import { parseAddress } from '../base/address.js';
import { BalsaError } from '../base/errors.js';
import type { AdminCommand } from '../rpc/protocol.js';

/** Most members that one command can name. */
const NAMES_MAX = 64;

const memberName = z
  .string()
  .regex(/^[a-z0-9-]{1,32}$/, 'must be 1 to 32 characters of a-z, 0-9 and -');
/** A member that is there: its name, or `name.incarnation` when two bear the name. */
const reference = z
  .string()
  .regex(/^[a-z0-9-]{1,32}(\.[0-9a-z-]{1,32})?$/, 'must be the name of a member');
const references = z.array(reference).max(NAMES_MAX);

const address = z.string().superRefine((text, context) => {
  const parsed = parseAddress(text);
  const problem = !parsed.ok
    ? parsed.problem
    : parsed.address.port === 0
      ? 'the port cannot be 0'
      : null;
  if (problem !== null) context.addIssue({ code: 'custom', message: problem });
});

const schema = z.discriminatedUnion('op', [
  z.object({
    op: z.literal('change-members'),
    expectedIndex: z.number().int().nonnegative(),
    add: z
      .array(
        z.object({
          name: memberName,
          incarnation: z.string().regex(/^[0-9a-z-]{1,32}$/, 'must be an incarnation'),
          address,
          promote: z.boolean(),
          replaces: reference.nullable(),
        }),
      )
      .max(NAMES_MAX),
    promote: references,
    demote: references,
    remove: references,
  }),
  z.object({ op: z.literal('transfer'), target: reference.nullable() }),
]) satisfies z.ZodType<AdminCommand>;

/** @throws BalsaError `INVALID_ARGUMENT` with all that is wrong */
export function parseAdminCommand(text: string): AdminCommand {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalidCommand('the command is not JSON', cause);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map((i) => `${i.path.join('.') || 'command'}: ${i.message}`);
  throw invalidCommand(problems.join('; '), result.error);
}

/** @returns BalsaError `INVALID_ARGUMENT`; nothing was done */
export function invalidCommand(message: string, cause?: unknown): BalsaError {
  return new BalsaError('INVALID_ARGUMENT', message, { outcome: 'not-applied', cause });
}
