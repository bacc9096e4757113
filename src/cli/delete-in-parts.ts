import { prefixEnd, successor, toBytes } from '../base/bytes.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { Meta } from '../client/client.js';
import type { Context } from './context.js';
import type { RangeOfKeys } from './key-flags.js';
import { Progress } from './progress.js';
import type { StoreClient } from './store-client.js';

/** What one transaction may delete. */
const KEYS_MAX = 10_000;

interface Deleted {
  readonly deleted: number;
  /** Of the last part. */
  readonly revision: number;
  readonly meta: Meta;
}

/**
 * Deletes the keys of a range in several transactions, from the first on: each happens in one moment, and others
 * see what is between them. What they put where it has been already stays.
 */
export async function deleteInParts(context: Context, range: RangeOfKeys): Promise<Deleted> {
  const { io, signal } = context;
  const progress = new Progress(io, 'keys deleted', null);
  const end = endOf(range);
  let from: Uint8Array = toBytes(range.prefix ?? range.from);
  let deleted = 0;
  let keysMax = KEYS_MAX;
  try {
    return await context.withClient(async (client) => {
      for (;;) {
        const keys = await firstKeys(client, { from, to: end }, { keysMax, signal });
        const to = keys.last === null || keys.count < keysMax ? end : successor(keys.last);
        try {
          const part = await client.deleteRange({ from, to, signal });
          deleted += part.deleted;
          if (to === end) return { ...part, deleted };
          from = to ?? from;
        } catch (error) {
          // Others have put keys between those that were read.
          if (!isTooLarge(error) || keysMax === 1) throw error;
          keysMax = Math.ceil(keysMax / 2);
        }
        progress.update({ done: 0, count: deleted });
      }
    });
  } catch (error) {
    throw deleted === 0 ? error : withCount(error, deleted);
  } finally {
    progress.clear();
  }
}

/** The key behind the last one; `undefined`: through the last of all. */
function endOf({ prefix, to }: RangeOfKeys): Uint8Array | undefined {
  if (prefix !== undefined) return prefixEnd(toBytes(prefix)) ?? undefined;
  return to === undefined ? undefined : toBytes(to);
}

async function firstKeys(
  client: StoreClient,
  range: { readonly from: Uint8Array; readonly to: Uint8Array | undefined },
  { keysMax, signal }: { readonly keysMax: number; readonly signal: AbortSignal },
): Promise<{ readonly count: number; readonly last: Uint8Array | null }> {
  let count = 0;
  let last: Uint8Array | null = null;
  const options = { limit: keysMax, keysOnly: true, consistency: 'linearizable', signal } as const;
  for await (const { key } of client.range({ ...range, ...options })) {
    count += 1;
    last = key;
  }
  return { count, last };
}

function isTooLarge(error: unknown): boolean {
  return ['RANGE_TOO_LARGE', 'TXN_TOO_LARGE'].includes(asBalsaError(error).code);
}

function withCount(error: unknown, deleted: number): BalsaError {
  const { code, message, outcome, details } = asBalsaError(error);
  return new BalsaError(code, `${message}; ${deleted} keys are deleted already`, {
    cause: error,
    details: { ...details, deleted },
    ...(outcome === undefined ? {} : { outcome }),
  });
}
