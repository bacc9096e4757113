export const OPERATIONS = ['put', 'get', 'mixed-50', 'mixed-95'] as const;
export type Operation = (typeof OPERATIONS)[number];
export const DISTRIBUTIONS = ['uniform', 'zipfian'] as const;
export type Distribution = (typeof DISTRIBUTIONS)[number];

/** What is measured, the same for everyone who is compared. Gets are linearizable. */
export interface Scenario {
  readonly operation: Operation;
  readonly valueBytes: number;
  /** Calls on their way at any time. */
  readonly outstanding: number;
  readonly distribution: Distribution;
  /** All of them exist before the first measured call. */
  readonly keys: number;
  /**
   * Calls per second that begin whatever became of those before (open loop); `null`: each call is followed by the
   * next (closed loop).
   */
  readonly ratePerSecond: number | null;
}

/** Of the calls, how many are gets. */
export function readShare(operation: Operation): number {
  return { put: 0, get: 1, 'mixed-50': 0.5, 'mixed-95': 0.95 }[operation];
}

export function titleOf(scenario: Scenario): string {
  const { operation, valueBytes, outstanding, distribution, ratePerSecond } = scenario;
  const load = ratePerSecond === null ? `${outstanding} outstanding` : `${ratePerSecond}/s`;
  return `${operation} ${valueBytes} B, ${load}, ${distribution}`;
}
