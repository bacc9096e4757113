import fc from 'fast-check';
import { FAULT_KINDS, type FaultName, kindOf } from './faults/fault-kinds.js';
import type { SimulationOptions } from './swarm.js';

/** A fault as data, and when it comes: milliseconds after the disturbance begins. */
export interface PlannedFault {
  readonly atMs: number;
  readonly fault: FaultName;
  readonly data: unknown;
}

export type Schedule = readonly PlannedFault[];

/** Schedules for a run with these options: of any length that they allow, or of this one. */
export function schedules(
  options: SimulationOptions,
  { length }: { readonly length?: number } = {},
): fc.Arbitrary<Schedule> {
  const atMs = fc.integer({ min: 0, max: options.disturbedMs });
  const oneFault = fc.oneof(
    ...options.faults.map((fault) => ({
      weight: fault === 'split with clients' ? 3 : 1,
      arbitrary: fc.record({ atMs, fault: fc.constant(fault), data: kindOf(fault).arbitrary }),
    })),
  );
  const minLength = length ?? 0;
  const maxLength = length ?? options.faultsMax;
  return fc.noBias(fc.array(oneFault, { minLength, maxLength, size: 'max' }));
}

/** The schedule that belongs to the seed: the first that fast-check draws with it. */
export function drawSchedule(options: SimulationOptions): Schedule {
  const [schedule] = fc.sample(schedules(options), { seed: options.seed, numRuns: 1 });
  return schedule ?? [];
}

/** One fault a line. */
export function formatSchedule(schedule: Schedule): string {
  return `[\n${schedule.map((fault) => `  ${JSON.stringify(fault)}`).join(',\n')}\n]\n`;
}

/** @throws Error when it is not a schedule */
export function parseSchedule(json: string): Schedule {
  const parsed: unknown = JSON.parse(json);
  if (!Array.isArray(parsed)) throw new Error('a schedule is a list of faults');
  return parsed.map((item: unknown): PlannedFault => {
    const { atMs, fault, data } = item as PlannedFault;
    if (typeof atMs !== 'number') throw new Error(`atMs: expected a number, found ${atMs}`);
    if (!Object.hasOwn(FAULT_KINDS, fault)) throw new Error(`no fault is named ${fault}`);
    return { atMs, fault, data };
  });
}
