import { BalsaError } from '../base/errors.js';
import type {
  AnswerMeta,
  ClientAnswer,
  ClientRequest,
  LeaseInfo,
  StoreInfo,
} from '../rpc/protocol.js';
import type { StateMachine } from '../statemachine/state-machine.js';
import type { LeaseState } from '../statemachine/types.js';

/** What clients ask about the store beside its keys; `client-connection` has seen to the read level. */

/** Of the keys of one lease: they go in one frame. */
const KEYS_BYTES_MAX = 8 * 1024 * 1024;

export type StoreRequest = Extract<ClientRequest, { type: 'leases' | 'store' }>;

export interface StoreFacts {
  readonly machine: StateMachine;
  /** As this replica knows it: at the leader the time that it would stamp now. */
  readonly logTimeMs: number;
}

/** In bytes. */
export type DiskUse = Pick<StoreInfo, 'stateBytes' | 'logBytes'>;

interface StoreHost {
  readonly storeFacts: StoreFacts;
  diskUse(): Promise<DiskUse>;
}

/**
 * @param meta of this moment: what is read before anything is waited for belongs together
 * @throws BalsaError `LEASE_NOT_FOUND`, `RANGE_TOO_LARGE`
 */
export async function answerStoreRequest(
  host: StoreHost,
  request: StoreRequest,
  meta: AnswerMeta,
): Promise<ClientAnswer> {
  const { id } = request;
  if (request.type === 'leases') {
    return { type: 'leases', id, meta, leases: await leasesOf(host.storeFacts, request.lease) };
  }
  const info = storeInfo(host.storeFacts);
  const use = await host.diskUse();
  const diskBytes = use.stateBytes + use.logBytes;
  return { type: 'store', id, meta, info: JSON.stringify({ ...info, ...use, diskBytes }) };
}

/**
 * The leases, or one of them with its keys.
 * @throws BalsaError `LEASE_NOT_FOUND`, `RANGE_TOO_LARGE`
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
  const keys = await machine.keysOfLease(lease, KEYS_BYTES_MAX);
  return [{ ...leaseInfo(state, logTimeMs), keys }];
}

function leaseInfo(state: LeaseState, logTimeMs: number): Omit<LeaseInfo, 'keys'> {
  const { lease, ttlMs, deadlineMs, keyCount } = state;
  // It may be due and not have expired yet.
  return { lease, ttlMs, remainingMs: Math.max(0, deadlineMs - logTimeMs), keyCount };
}

export function storeInfo({
  machine,
  logTimeMs,
}: StoreFacts): Omit<StoreInfo, 'diskBytes' | keyof DiskUse> {
  const { namespaces, ...state } = machine.info();
  return {
    ...state,
    logTimeMs: Math.max(state.logTimeMs, logTimeMs),
    namespaces: namespaces.map(({ prefix, ...rest }) => ({
      ...rest,
      prefix: Buffer.from(prefix).toString('hex'),
    })),
  };
}
