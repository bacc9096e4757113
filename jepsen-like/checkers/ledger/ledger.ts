import type { Call } from '../calls.js';

/** What was done to numbers that changes are added to, and how they were read. */
export interface Ledger {
  readonly changes: readonly LedgerChange[];
  readonly reads: readonly LedgerRead[];
}

/** It counts once, as a whole, or (when its outcome is not known) not at all. */
export interface LedgerChange {
  /** Several: asked again under one key. */
  readonly calls: readonly Call[];
  /** By number: what it adds. */
  readonly by: ReadonlyMap<string, number>;
  /** From here on it may count, and from there on it must; Infinity: perhaps never. */
  readonly begin: number;
  readonly end: number;
  /** Where it counts, when that was answered. */
  readonly revision: number | undefined;
}

export interface LedgerRead {
  readonly call: Call;
  readonly values: ReadonlyMap<string, number>;
}

/** One that was asked for once. */
export function changeOf(call: Call, by: ReadonlyMap<string, number>): LedgerChange {
  const revision = call.outcome === 'ok' ? call.completion?.revision : undefined;
  return { calls: [call], by, begin: call.begin, end: call.end, revision };
}
