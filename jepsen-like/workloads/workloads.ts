import { append, bank } from './append.js';
import { register, set } from './register.js';
import type { Workload } from './workload.js';

export const WORKLOADS: readonly Workload[] = [register, set, append, bank];

/**
 * @param wanted names, separated by commas, or `all`
 * @throws Error when there is none of this name
 */
export function chooseWorkloads(wanted: string): readonly Workload[] {
  if (wanted === 'all') return WORKLOADS;
  return [...new Set(wanted.split(','))].map((name) => {
    const found = WORKLOADS.find((workload) => workload.name === name);
    if (found === undefined) throw new Error(`there is no workload ${name}; --list names them`);
    return found;
  });
}
