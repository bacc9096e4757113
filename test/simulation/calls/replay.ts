import type { WatchHistory, WrittenEvent } from '../watch-history.js';
import { CALLS_PREFIX, DONE } from './native-procedures.js';

/** A call that has written, as the event tells of which it was. */
export interface Applied {
  readonly id: string;
  readonly version: number;
  readonly revision: number;
}

/** One revision of the store, with the keys of the workload as they were then. */
export interface Moment {
  readonly revision: number;
  readonly events: readonly WrittenEvent[];
  readonly before: ReadonlyMap<string, string>;
  readonly after: ReadonlyMap<string, string>;
  /** The call that has written it, if it was one. */
  readonly applied: Applied | null;
}

const DONE_KEY = `_events/${DONE}/0`;

/** All that was ever written, in order; `visit` must not keep the maps. The first moment is that before all. */
export function replay(history: WatchHistory, visit: (moment: Moment) => void): void {
  const nothing = new Map<string, string>();
  visit({ revision: 0, events: [], before: nothing, after: nothing, applied: null });
  let after = new Map<string, string>();
  for (let revision = 1; revision <= history.revision; revision += 1) {
    const events = history.at(revision);
    const own = events.filter(({ key }) => key.startsWith(CALLS_PREFIX));
    const before = after;
    if (own.length > 0) after = new Map(before);
    for (const { type, key, value } of own) {
      if (type === 'put') after.set(key, value);
      else after.delete(key);
    }
    visit({ revision, events, before, after, applied: appliedBy(revision, events) });
  }
}

function appliedBy(revision: number, events: readonly WrittenEvent[]): Applied | null {
  const done = events.find(({ key }) => key === DONE_KEY);
  if (done === undefined) return null;
  const { id, version } = JSON.parse(done.value) as { id: string; version: number };
  return { id, version, revision };
}
