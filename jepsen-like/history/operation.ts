/**
 * One line of a history: a client began something (`invoke`), or was told what became of it.
 *
 * A process does one thing at a time: its `invoke` is followed by one of `ok` (done), `fail` (certainly not done) or `info`
 * (nobody knows). After `info` the number of the process is not used again, since that operation may take effect at any time
 * later. A line that stands alone (`ok` or `info` without an `invoke`) tells of something that was seen: an event of a watch.
 *
 * Which `f` and `value` a checker expects is in docs/checkers.md.
 */
export interface HistoryOperation {
  /** Who did it, from 0. */
  readonly process: number;
  readonly type: OperationType;
  /** What it did: `get`, `put`, `cas`, `delete`, `txn`, … */
  readonly f: string;
  readonly key?: string;
  /** With `invoke`: what was asked for. With `ok`: what was answered, or what was asked for again. JSON. */
  readonly value?: unknown;
  /** Nanoseconds since the start of the run, on one monotonic clock for all processes. */
  readonly time: number;
  /** Code of the error of `fail` and `info`; `CONDITION_FAILED` of a `cas` that found something else. */
  readonly error?: string;
  /** Of a write: the revision that it made. Of a read: the revision of the state that was read. */
  readonly revision?: number;
  /** Name of the replica that answered. */
  readonly node?: string;
  /** `linearizable` (when absent), `session`, `bounded:<ms>`, `at:<revision>`, `any`, `ap-local`. */
  readonly level?: string;
  /** What the answer said of the age of its state. */
  readonly stalenessMs?: number;
  /** `majority`, `isolated`, `unknown`: what the answer said of where the replica is. */
  readonly side?: string;
}

export const OPERATION_TYPES = ['invoke', 'ok', 'fail', 'info'] as const;
export type OperationType = (typeof OPERATION_TYPES)[number];

/** One line of `faults.jsonl`: a fault began, or was mended. A fault that happens at one moment (kill) ends when the process is back. */
export interface FaultRecord {
  /** Nanoseconds, on the clock of the history. */
  readonly time: number;
  /** Its kind: `kill`, `partition`, … */
  readonly fault: string;
  /** Whom it hits. */
  readonly nodes: readonly string[];
  readonly phase: 'begin' | 'end';
  readonly detail?: unknown;
}

/**
 * No fault, but a mark among them: from its begin on the replica may have lost what was on its disk, or has another disk, and at its end it
 * has all its data, on a disk that nothing is wrong with.
 */
export const DATA_LOST = 'data-lost';
