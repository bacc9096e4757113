import type { LogIndex } from '../raft/types.js';
import type { Position } from '../statemachine/position.js';
import type { StoreObservation, WriteEvent } from '../statemachine/types.js';

/** What a `WatchHub` needs of the state machine. */
export type WatchSource = Pick<
  StoreObservation,
  'revision' | 'compactedRevision' | 'onWrites' | 'history' | 'valueBefore'
> & { readonly appliedIndex: LogIndex };

export function positionOf({ revision, sub }: WriteEvent): Position {
  return { revision, sub };
}

/** The event is at `position` or behind it. */
export function isFrom(event: WriteEvent, position: Position): boolean {
  if (event.revision !== position.revision) return event.revision > position.revision;
  return event.sub >= position.sub;
}
