import type { Leadership } from './leadership.js';
import type { RaftState } from './state.js';
import type { Entry, EntryType, LogPosition } from './types.js';

/** A leader appends an entry of its own term to its log. */
export function appendOwn(
  state: RaftState,
  leadership: Leadership,
  what: { readonly type: EntryType; readonly payload: Uint8Array },
): LogPosition {
  const entry: Entry = { index: state.log.lastIndex + 1, term: state.currentTerm, ...what };
  state.append(entry);
  leadership.uncommittedBytes += entry.payload.byteLength;
  return { index: entry.index, term: entry.term };
}
