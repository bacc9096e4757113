import type { Limits } from '../base/limits.js';
import type { KeyValue } from '../base/operation.js';
import type { WatchEvent } from '../rpc/protocol.js';
import type { Position } from '../statemachine/position.js';
import type { WriteEvent } from '../statemachine/types.js';
import { positionOf, type WatchSource } from './watch-source.js';
import type { Watcher } from './watcher.js';

/** What an event takes in an answer beside its bytes, roughly. */
const EVENT_BYTES = 64;

interface Telling {
  /** All that the watcher wants to hear of, in order. */
  readonly events: readonly WriteEvent[];
  /** With them it has been told everything through this revision. */
  readonly through: number;
  readonly limits: Limits;
  readonly source: WatchSource;
}

/**
 * Gives the events to the stream of the watcher, in answers of a bounded size, until it takes no more.
 * @returns where it has to go on when the stream takes no more, else `null`; how many answers were sent, and their bytes
 */
export function tellEvents(
  watcher: Watcher,
  { events, through, limits, source }: Telling,
): { readonly blockedAt: Position | null; readonly answers: number; readonly bytes: number } {
  const { sink, id } = watcher;
  const bytesMax = Math.min(limits.watchBacklogBytesMax, limits.frameBytesMax / 4);
  let answers = 0;
  let allBytes = 0;
  let at = 0;
  // An answer may end the stream, and the watch with it.
  while (at < events.length && watcher.phase !== 'ended') {
    const first = events[at] as WriteEvent;
    if (sink.waitingBytes > limits.watchBacklogBytesMax) {
      return { blockedAt: positionOf(first), answers, bytes: allBytes };
    }
    const part: WatchEvent[] = [];
    let bytes = 0;
    for (; at < events.length && bytes < bytesMax; at += 1) {
      const event = toWatchEvent(events[at] as WriteEvent, watcher, source);
      part.push(event);
      bytes += sizeOf(event.item) + sizeOf(event.previous);
    }
    const next = events[at];
    const last = (events[at - 1] as WriteEvent).revision;
    const revision = next === undefined ? through : last;
    sink.send({
      type: 'watch-events',
      ...{ id, events: part, revision, more: next?.revision === last },
      appliedIndex: source.appliedIndex,
    });
    answers += 1;
    allBytes += bytes;
  }
  return { blockedAt: null, answers, bytes: allBytes };
}

function toWatchEvent(event: WriteEvent, watcher: Watcher, source: WatchSource): WatchEvent {
  const { type, key, value, createRevision, revision, version, lease } = event;
  const item: KeyValue = { key, value, createRevision, modRevision: revision, version, lease };
  return { type, item, previous: watcher.withPrevious ? source.valueBefore(event) : null };
}

function sizeOf(item: KeyValue | null): number {
  return item === null ? 0 : EVENT_BYTES + item.key.byteLength + item.value.byteLength;
}
