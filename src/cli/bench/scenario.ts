/** What any store has. `range`: a hundred keys side by side; `txn`: a put, if the key is there. */
export const STORE_OPERATIONS = ['put', 'get', 'mixed-50', 'mixed-95', 'range', 'txn'] as const;
/**
 * `fan-out`: a put, until a hundred watchers have been told. `cp`: a call of a procedure that reads two keys and writes them, keys all over,
 * or one pair of them in so many of 100 calls. `ap`: a call that counts. `job`: a job of a hundred empty tasks,
 * until it has been removed.
 */
export const OPERATIONS = [
  ...STORE_OPERATIONS,
  ...(['fan-out', 'cp', 'cp-50', 'cp-80', 'cp-100', 'ap', 'job'] as const),
] as const;
export type Operation = (typeof OPERATIONS)[number];
/** Keys of one request of `range`. */
export const RANGE_KEYS = 100;
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

/** Of the calls, how many are gets; `null`: they are neither puts nor gets. */
export function readShare(operation: Operation): number | null {
  const shares: Partial<Record<Operation, number>> = {
    ...{ put: 0, get: 1, 'mixed-50': 0.5, 'mixed-95': 0.95 },
  };
  return shares[operation] ?? null;
}

export function titleOf(scenario: Scenario): string {
  const { operation, valueBytes, outstanding, distribution, keys, ratePerSecond } = scenario;
  const load = ratePerSecond === null ? `${outstanding} outstanding` : `${ratePerSecond}/s`;
  return `${operation} ${valueBytes} B, ${load}, ${distribution} over ${keys} keys`;
}
