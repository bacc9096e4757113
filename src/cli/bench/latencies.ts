export interface LatencySummary {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  /** At each of {@link CURVE_SHARES}; missing where only the figures above are known. */
  readonly curveMs?: readonly number[];
}

/** Shares of the calls whose latencies make a curve. */
export const CURVE_SHARES = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1];

/** The smallest latency that so large a share of the calls did not exceed (nearest rank). `NaN` without calls. */
export function percentile(ascendingMs: ArrayLike<number>, share: number): number {
  const rank = Math.max(1, Math.ceil(ascendingMs.length * share));
  return ascendingMs[rank - 1] ?? Number.NaN;
}

export function latencySummary(latenciesMs: readonly number[]): LatencySummary {
  const ascending = Float64Array.from(latenciesMs).sort();
  return {
    p50Ms: percentile(ascending, 0.5),
    p99Ms: percentile(ascending, 0.99),
    p999Ms: percentile(ascending, 0.999),
    maxMs: percentile(ascending, 1),
    curveMs: CURVE_SHARES.map((share) => percentile(ascending, share)),
  };
}

/** The middle one, or the mean of the two in the middle. `NaN` without values. */
export function median(values: readonly number[]): number {
  const ascending = Float64Array.from(values).sort();
  const middle = ascending.length / 2;
  const upper = ascending[Math.floor(middle)] ?? Number.NaN;
  if (!Number.isInteger(middle)) return upper;
  return (upper + (ascending[middle - 1] ?? Number.NaN)) / 2;
}

/** Throughput over time is that of intervals so long. */
export const SLICE_MS = 250;

/**
 * Calls per second in each {@link SLICE_MS} of the time measured; the last one may be shorter.
 * @param endedMs when calls ended, from its beginning on; those beyond it do not count
 */
export function ratesOverTime(endedMs: Iterable<number>, measuredMs: number): number[] {
  const counts = new Array<number>(Math.max(0, Math.ceil(measuredMs / SLICE_MS))).fill(0);
  for (const ms of endedMs) {
    const slice = Math.floor(ms / SLICE_MS);
    if (ms < measuredMs) counts[slice] = (counts[slice] ?? 0) + 1;
  }
  return counts.map((count, slice) => {
    return (count * 1000) / Math.min(SLICE_MS, measuredMs - slice * SLICE_MS);
  });
}
