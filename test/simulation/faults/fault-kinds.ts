import { DISK_FAULTS } from './disk-faults.js';
import type { FaultKind } from './fault.js';
import { MEMBER_FAULTS } from './member-faults.js';
import { NETWORK_FAULTS } from './network-faults.js';
import { PROCESS_FAULTS } from './process-faults.js';

/** Every kind of fault there is. */
export const FAULT_KINDS = {
  ...PROCESS_FAULTS,
  ...NETWORK_FAULTS,
  ...DISK_FAULTS,
  ...MEMBER_FAULTS,
};

export type FaultName = keyof typeof FAULT_KINDS;

export const FAULT_NAMES = Object.keys(FAULT_KINDS) as FaultName[];

export function kindOf(name: FaultName): FaultKind<unknown> {
  return FAULT_KINDS[name];
}
