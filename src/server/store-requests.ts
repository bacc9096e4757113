import { BalsaError } from '../base/errors.js';
import type { ClientAnswer, ClientRequest, LeaseInfo, StoreInfo } from '../rpc/protocol.js';
import type { StateMachine } from '../statemachine/state-machine.js';
import type { LeaseState } from '../statemachine/types.js';

/** What clients ask about the store beside its keys; `client-connection` has seen to the read level. */

export interface StoreFacts {
  readonly machine: StateMachine;
  /** As this replica knows it: at the leader the time that it would stamp now. */
  readonly logTimeMs: number;
}

/**
 * The leases, or one of them with its keys.
 * @throws BalsaError `LEASE_NOT_FOUND`
 */
export async function leasesOf(
  { machine, logTimeMs }: StoreFacts,
  lease: number | null,
): Promise<LeaseInfo[]> {
  if (lease === null) {
    return machine.leases().map((state) => ({ ...leaseInfo(state, logTimeMs), keys: [] }));
  }
  const state = machine.lease(lease);
  if (state === null) throw new BalsaError('LEASE_NOT_FOUND', `there is no lease ${lease}`);
  return [{ ...leaseInfo(state, logTimeMs), keys: await machine.keysOfLease(lease) }];
}

function leaseInfo(state: LeaseState, logTimeMs: number): Omit<LeaseInfo, 'keys'> {
  const { lease, ttlMs, deadlineMs, keyCount } = state;
  // It may be due and not have expired yet.
  return { lease, ttlMs, remainingMs: Math.max(0, deadlineMs - logTimeMs), keyCount };
}

export function storeInfo({ machine, logTimeMs }: StoreFacts, diskBytes: number): StoreInfo {
  const { namespaces, ...state } = machine.info();
  return {
    ...state,
    logTimeMs: Math.max(state.logTimeMs, logTimeMs),
    namespaces: namespaces.map(({ prefix, ...rest }) => ({
      ...rest,
      prefix: Buffer.from(prefix).toString('hex'),
    })),
    diskBytes,
  };
}

export type StoreRequest = Extract<ClientRequest, { type: 'leases' | 'store' }>;
export type StoreAnswer = Extract<ClientAnswer, { type: 'leases' | 'store' }>;
