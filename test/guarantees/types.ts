import type { ErrorCode, WriteOutcome } from '../../src/base/errors.js';
import type { Consistency } from '../../src/rpc/protocol.js';

/** How a call ends. */
export type Ending =
  | { readonly served: true; readonly meta?: MetaWanted | undefined }
  | {
      readonly served: false;
      readonly code: ErrorCode;
      /** Of writes. */
      readonly outcome?: WriteOutcome | undefined;
    };

/** What `meta` must say beside level, replica and side, which follow from the row and the place. */
export interface MetaWanted {
  readonly stalenessMsMax?: number | undefined;
  readonly revision?: 'at' | undefined;
}

/** Where a call is made while the replicas are parted 2 | 3. */
export type Place = 'minority' | 'majority';

/** One row of the table of guarantees: what the test demands, and what the documents say. */
export interface Guarantee {
  readonly id: string;
  readonly operation: string;
  /** `null`: it has none, a write goes through the log. */
  readonly level: Consistency | null;
  /** In which case, when there are several; empty: always. */
  readonly when: string;
  readonly promise: string;
  readonly majority: Ending;
  readonly minority: Ending;
  /** What it gives up at a partition, and else (PACELC): consistency or availability, latency or consistency. */
  readonly pacelc: 'PC/EC' | 'PC/EL' | 'PA/EL';
  /** It is in the short table of the README. */
  readonly inReadme: boolean;
  /** Beside the test that makes the table: `` `test/file.ts` title ``. */
  readonly shownBy: readonly string[];
}

/** What became of a call in a run of real processes. */
export interface Observation {
  readonly id: string;
  readonly ending:
    | { readonly served: true; readonly meta: ObservedMeta; readonly value: string | null }
    | { readonly served: false; readonly code: string; readonly outcome: string | null };
  readonly tookMs: number;
}

export interface ObservedMeta {
  readonly level: string;
  readonly replica: string;
  readonly side: string;
  readonly stalenessMs: number | null;
  readonly revision: number;
  readonly token: string;
}
