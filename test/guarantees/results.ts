import { writeFileSync } from 'node:fs';
import { GUARANTEES } from './rows.js';
import type { Ending, Guarantee, Observation, Place } from './types.js';

/** A row as it was seen: what the tables are made from. Numbers that differ from run to run are left out. */
export interface ResultRow extends Omit<Guarantee, 'majority' | 'minority'> {
  /** `null`: the runs do not agree. */
  readonly majority: Ending | null;
  readonly minority: Ending | null;
}

/** @param observations of all runs, made while the replicas were parted */
export function toResults(observations: readonly Observation[]): ResultRow[] {
  return GUARANTEES.map((row) => ({
    ...row,
    majority: common(observations, row, 'majority'),
    minority: common(observations, row, 'minority'),
  }));
}

function common(observations: readonly Observation[], row: Guarantee, place: Place): Ending | null {
  const endings = observations
    .filter((o) => o.row === row.id && o.place === place)
    .map(({ ending }) => ending);
  const [first, ...others] = endings;
  if (first === undefined) return null;
  const text = JSON.stringify(first);
  return others.every((ending) => JSON.stringify(ending) === text) ? first : null;
}

export function writeResults(path: string, observations: readonly Observation[]): void {
  writeFileSync(path, `${JSON.stringify(toResults(observations), null, 2)}\n`);
}
