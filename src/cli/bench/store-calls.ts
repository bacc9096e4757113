import { prefixEnd } from '../../base/bytes.js';
import { compare } from '../../client/compare.js';
import type { Client } from '../../client/kv-client.js';
import { op } from '../../client/op.js';
import type { KeyForm } from '../../client/options.js';
import type { OtherCalls } from './drive.js';
import { RANGE_KEYS } from './scenario.js';

type StoreCalls<Keys extends KeyForm> = Pick<
  Client<string | Uint8Array, Buffer, Keys>,
  'range' | 'txn'
>;

/** What is asked of a store of ours beside puts and gets, of keys that begin with `prefix` alone. */
export function storeCalls<Keys extends KeyForm>(
  client: StoreCalls<Keys>,
  prefix = '',
  signal?: AbortSignal,
): Record<'range' | 'txn', OtherCalls> {
  const to = prefixEnd(Buffer.from(prefix)) ?? undefined;
  return {
    range: {
      call: async (key) => {
        const found: unknown[] = [];
        const range = { from: prefix + key, to, limit: RANGE_KEYS, signal };
        for await (const item of client.range(range)) {
          found.push(item);
        }
        return found;
      },
    },
    txn: {
      call: (key, value) => {
        const condition = compare.exists(prefix + key);
        return client
          .txn()
          .when(condition)
          .do(op.put(prefix + key, value))
          .commit({ signal });
      },
    },
  };
}
