import type { ErrorCode, WriteOutcome } from '../../src/base/errors.js';
import type { Consistency } from '../../src/rpc/protocol.js';

/** How a call ends. */
export type Ending =
  | { readonly served: true }
  | {
      readonly served: false;
      readonly code: ErrorCode;
      /** Of writes; `null`: it is a read. */
      readonly outcome: WriteOutcome | null;
    };

/** Where a call is made while the replicas are parted 2 | 3. */
export type Place = 'minority' | 'majority';
export const PLACES: readonly Place[] = ['minority', 'majority'];

/** What a call gives up at a partition, and else (PACELC): consistency or availability, latency or consistency. */
export type Pacelc = 'PC/EC' | 'PC/EL' | 'PA/EL';

/** One row of the table of guarantees: what the tests demand, and what the documents say. */
export interface Guarantee {
  readonly id: string;
  /** Each is tried by a probe of this name. */
  readonly operations: readonly string[];
  /** `null`: it has none, since it goes through the log. */
  readonly level: Consistency | null;
  /** In which case, when there are several; empty: always. */
  readonly when: string;
  readonly promise: string;
  readonly majority: Ending;
  readonly minority: Ending;
  readonly pacelc: Pacelc;
  /** It is in the short table of the README. */
  readonly inReadme: boolean;
  /** What shows it beside the test with real processes: `` `test/file.test.ts` title ``. */
  readonly shownBy: readonly string[];
}

/** What `meta` of an answer said. */
export interface ObservedMeta {
  readonly level: string;
  readonly replica: string;
  readonly side: string;
  readonly stalenessMs: number | null;
  readonly revision: number;
  readonly token: string;
}

/** What became of a call in a run of real processes. */
export interface Observation {
  readonly row: string;
  readonly operation: string;
  readonly place: Place;
  readonly ending: Ending;
  /** `null`: it was refused. */
  readonly meta: ObservedMeta | null;
  readonly value: string | null;
  readonly tookMs: number;
}
