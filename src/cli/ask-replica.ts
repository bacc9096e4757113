import { asBalsaError, type BalsaError } from '../base/errors.js';
import type { ReplicaStatus } from '../rpc/protocol.js';
import type { Context } from './context.js';
import type { StoreClient, StoreOptions } from './store-client.js';

/** What one address answered when it was asked for its status. */
export type Answer =
  | { readonly address: string; readonly status: ReplicaStatus }
  | { readonly address: string; readonly status: null; readonly error: BalsaError };

/** A replica that takes longer to answer than this is told as unreachable: nobody waits for status. */
const CONNECT_MS_MAX = 2000;

/** Each replica is asked through a connection of its own, so that none speaks for another. */
export function ownConnection({ options }: Context, address: string): OwnConnection {
  const connectTimeoutMs = Math.min(options.timeout || CONNECT_MS_MAX, CONNECT_MS_MAX);
  return { endpoints: [address], followLeader: false, connectTimeoutMs };
}

type OwnConnection = Pick<StoreOptions, 'endpoints' | 'followLeader' | 'connectTimeoutMs'>;

/** @param leastMs how long is waited for it at least: where much depends on whether it lives */
export async function askReplica(
  context: Context,
  address: string,
  { leastMs = 0 }: { readonly leastMs?: number } = {},
): Promise<Answer> {
  try {
    const { signal } = context;
    const own = ownConnection(context, address);
    const patience = leastMs === 0 ? {} : { timeoutMs: leastMs, connectTimeoutMs: leastMs };
    const ask = (client: StoreClient) => client.status({ signal });
    const status = await context.withClient(ask, { ...own, ...patience });
    return { address, status };
  } catch (error) {
    context.signal.throwIfAborted();
    return { address, status: null, error: asBalsaError(error) };
  }
}

/** The client names the address in its message; here it is known already. */
export function reasonOf({ address, error }: { address: string; error: BalsaError }): string {
  const at = error.message.lastIndexOf(`${address}: `);
  return at === -1 ? error.message : error.message.slice(at + address.length + 2).trim();
}
