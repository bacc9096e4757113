import { hostile, idle, largeValues } from './abuse.js';
import { apCells, triggers } from './ap.js';
import { append, bank } from './append.js';
import { counter, exactlyOnce, queue, uniqueIds, writeSkew } from './calls.js';
import { lease, lock, watch } from './coordination.js';
import { jobs } from './jobs.js';
import { levels } from './levels.js';
import { register, set } from './register.js';
import type { Workload } from './workload.js';

export const WORKLOADS: readonly Workload[] = [
  register,
  set,
  queue,
  counter,
  append,
  bank,
  writeSkew,
  uniqueIds,
  lock,
  lease,
  watch,
  levels,
  exactlyOnce,
  apCells,
  triggers,
  jobs,
  largeValues,
  idle,
  hostile,
];

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
