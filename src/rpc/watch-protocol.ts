import type { AnswerMeta, WatchEvent } from './protocol.js';

/** What the replica had applied when it told a watch: all that it told, at least. `null`: an older one, which does not say. */
export type TellingIndex = number | null;

/** What a watch is told; see `WatchRequest`. */
export type WatchAnswer =
  /** Events behind `revision` follow, those from `startRevision` on when it was given. */
  | {
      readonly type: 'watch-created';
      readonly id: number;
      readonly meta: AnswerMeta;
      readonly revision: number;
    }
  | {
      readonly type: 'watch-events';
      readonly id: number;
      readonly events: readonly WatchEvent[];
      /** All through this revision has been told, unless `more`: its last revision goes on. */
      readonly revision: number;
      readonly more: boolean;
      readonly appliedIndex: TellingIndex;
    }
  /** There is nothing between what was told and this revision. */
  | {
      readonly type: 'watch-progress';
      readonly id: number;
      readonly revision: number;
      /** Other watches of the stream of which the same can be said. */
      readonly alsoFor: readonly number[];
      readonly appliedIndex: TellingIndex;
    }
  /** The client reads too slowly: what comes is read from history when it has caught up. */
  | { readonly type: 'watch-lagging'; readonly id: number; readonly revision: number };
