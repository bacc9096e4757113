import type { RangeFilter } from '../base/operation.js';

/** The bounds of a filter; 0 and absent ones are none. */
export interface RevisionBounds {
  readonly modMin: number;
  readonly modMax: number;
  readonly createMin: number;
  readonly createMax: number;
}

/** `null`: everything passes. */
export function revisionBounds(filter: RangeFilter): RevisionBounds | null {
  const bounds = {
    modMin: filter.modRevisionMin ?? 0,
    modMax: filter.modRevisionMax || Number.MAX_SAFE_INTEGER,
    createMin: filter.createRevisionMin ?? 0,
    createMax: filter.createRevisionMax || Number.MAX_SAFE_INTEGER,
  };
  const isOpen = bounds.modMin === 0 && bounds.createMin === 0;
  const isEndless = Math.min(bounds.modMax, bounds.createMax) === Number.MAX_SAFE_INTEGER;
  return isOpen && isEndless ? null : bounds;
}

export function passes(
  bounds: RevisionBounds | null,
  modRevision: number,
  createRevision: number,
): boolean {
  if (bounds === null) return true;
  const { modMin, modMax, createMin, createMax } = bounds;
  return (
    modRevision >= modMin &&
    modRevision <= modMax &&
    createRevision >= createMin &&
    createRevision <= createMax
  );
}
