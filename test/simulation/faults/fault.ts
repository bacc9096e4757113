import type fc from 'fast-check';
import type { World } from '../world.js';

/** Which machine: its number (modulo the number of machines), or -1 for the one that leads. */
export type Who = number;

export const LEADER: Who = -1;

/**
 * One kind of fault: how it is drawn, as plain data, and what it does. The data is all that a schedule
 * holds, so that a schedule can be shrunk, written down and replayed.
 */
export interface FaultKind<Data> {
  readonly arbitrary: fc.Arbitrary<Data>;
  /** Begins it, and plans its end. */
  apply(world: World, data: Data): void;
}

/** Hides the type of the data, which only the kind itself knows. */
export function faultKind<Data>(kind: FaultKind<Data>): FaultKind<unknown> {
  return kind as FaultKind<unknown>;
}
