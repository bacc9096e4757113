import { BalsaError } from '../../base/errors.js';
import type { ProcedureInfo } from '../../client/client.js';
import type { StoreClient } from '../store-client.js';

/**
 * All that is deployed. A majority says what that is, at whatever level calls are made.
 * @throws BalsaError as `list` of the client does
 */
export async function listDeployed(
  client: StoreClient,
  signal: AbortSignal,
): Promise<readonly ProcedureInfo[]> {
  try {
    return await client.procedures.list({ signal });
  } catch (cause) {
    if (!(cause instanceof BalsaError) || cause.code !== 'NO_QUORUM') throw cause;
    const hint = 'balsa status shows who is missing; only a majority knows what is deployed';
    const { message, details, outcome } = cause;
    throw new BalsaError(cause.code, message, { outcome, cause, details: { ...details, hint } });
  }
}
