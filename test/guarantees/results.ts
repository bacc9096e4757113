import { readFileSync, writeFileSync } from 'node:fs';
import { GUARANTEES } from './rows.js';
import type { Ending, Guarantee, Observation, Place } from './types.js';

/** How the calls of a row ended. Numbers that differ from run to run are left out. */
export interface Result {
  readonly id: string;
  readonly operations: readonly string[];
  /** `null`: the runs do not agree. */
  readonly majority: Ending | null;
  readonly minority: Ending | null;
}

/** A row with what was seen in place of what was demanded: what the tables are made from. */
export interface ResultRow extends Omit<Guarantee, Place | 'operations'>, Result {}

/** @param observations of all runs, made while the replicas were parted */
export function toResults(observations: readonly Observation[]): Result[] {
  return GUARANTEES.map((row) => {
    const seen = observations.filter((observation) => observation.row === row.id);
    return {
      id: row.id,
      operations: [...new Set(seen.map(({ operation }) => operation))],
      majority: common(seen, 'majority'),
      minority: common(seen, 'minority'),
    };
  });
}

/** @throws Error when the results are of other rows */
export function toRows(results: readonly Result[]): ResultRow[] {
  return GUARANTEES.map((row) => {
    const result = results.find(({ id }) => id === row.id);
    if (result === undefined) throw new Error(`there is no result of ${row.id}`);
    return { ...row, ...result };
  });
}

export function writeResults(path: string, observations: readonly Observation[]): void {
  writeFileSync(path, `${JSON.stringify(toResults(observations), null, 2)}\n`);
}

export function readResults(path: string): Result[] {
  return JSON.parse(readFileSync(path, 'utf8')) as Result[];
}

function common(observations: readonly Observation[], place: Place): Ending | null {
  const endings = observations.filter((o) => o.place === place).map(({ ending }) => ending);
  const [first, ...others] = endings;
  if (first === undefined) return null;
  const text = JSON.stringify(first);
  return others.every((ending) => JSON.stringify(ending) === text) ? first : null;
}
