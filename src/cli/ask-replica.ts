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
export function ownConnection({ options }: Context, address: string): Partial<StoreOptions> {
  const connectTimeoutMs = Math.min(options.timeout || CONNECT_MS_MAX, CONNECT_MS_MAX);
  return { endpoints: [address], followLeader: false, connectTimeoutMs };
}

export async function askReplica(context: Context, address: string): Promise<Answer> {
  try {
    const { signal } = context;
    const ask = (client: StoreClient) => client.status({ signal });
    const status = await context.withClient(ask, ownConnection(context, address));
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
