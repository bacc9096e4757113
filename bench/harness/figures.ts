import { rounded } from '../machine.js';
import { pairedRatio, spread } from './rounds.js';
import { inWords, type Row } from './rows.js';

/** Two columns of a table: the median of rounds, and their range. */
export function medianAndRange(name: string, values: readonly number[], digits = 0): Row {
  const { median, min, max } = spread(values);
  return {
    [name]: rounded(median, digits),
    [`${name}: from - to`]: `${rounded(min, digits)} - ${rounded(max, digits)}`,
  };
}

export function ratioInWords(own: readonly number[], other: readonly number[]): string {
  return inWords(pairedRatio(own, other));
}
