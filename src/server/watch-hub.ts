import { assert } from '../base/assert.js';
import { toMapKey } from '../base/bytes.js';
import type { Clock } from '../base/clock.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { Limits } from '../base/limits.js';
import type { WatchRequest } from '../rpc/protocol.js';
import { toWireError } from '../rpc/wire-error.js';
import type { Position } from '../statemachine/position.js';
import type { WriteEvent } from '../statemachine/types.js';
import { BlockedWatchers } from './blocked-watchers.js';
import { overloaded } from './proposals.js';
import { tellEvents } from './watch-answers.js';
import { WatchCatchUp } from './watch-catch-up.js';
import { WatchIndex } from './watch-index.js';
import { WatchProgress } from './watch-progress.js';
import { isFrom, type WatchSource } from './watch-source.js';
import { Watcher, type WatchSink } from './watcher.js';

/** What one turn of the event loop tells to those that are behind, in bytes; one watcher may exceed it. */
const TURN_BYTES_MAX = 2 * 1024 * 1024;

export interface WatchHubOptions {
  readonly clock: Clock;
  readonly limits: Limits;
  /** The state cannot be read, or a rule is broken: the replica must stop. */
  readonly onFailure: (error: unknown) => void;
}

/**
 * All watches that one replica serves. A watcher that has been told everything is `live`: an index finds
 * it when a key of its range changes, and it costs nothing else. One that begins in the past, or whose client
 * reads too slowly, is told from the history of the store until it has caught up. So what waits for a client
 * is bounded, and no write ever waits for a watcher.
 *
 * Live or not, a watcher is told of each event once, in order: `Watcher.next` says how far it is.
 */
export class WatchHub {
  readonly #options: WatchHubOptions;
  #source: WatchSource;
  readonly #live = new WatchIndex<Watcher>();
  readonly #watchers = new Set<Watcher>();
  /** Live ones with something to tell at the end of the turn. */
  readonly #dirty = new Set<Watcher>();
  readonly #catchUp: WatchCatchUp;
  readonly #blocked: BlockedWatchers;
  readonly #progress: WatchProgress;
  #stopped: BalsaError | null = null;

  constructor(options: WatchHubOptions, source: WatchSource) {
    this.#options = options;
    this.#source = source;
    const { clock, limits } = options;
    this.#catchUp = new WatchCatchUp({
      clock,
      turnBytes: Math.min(TURN_BYTES_MAX, 2 * limits.watchBacklogBytesMax),
      source: () => this.#source,
      onRead: (watcher, events, through) => this.#tell(watcher, events, through),
      onCaughtUp: (watcher) => this.#goLive(watcher),
      onCompacted: (watcher) => this.#end(watcher, compacted(watcher.next, this.#source)),
      onFailure: options.onFailure,
    });
    this.#blocked = new BlockedWatchers({
      clock,
      bytesMax: limits.watchBacklogBytesMax / 2,
      onDrained: (watcher) => this.#fallBehind(watcher),
    });
    this.#progress = new WatchProgress({
      clock,
      silenceMs: limits.watchProgressMs,
      revisionOf: (watcher) => this.toldThrough(watcher),
      appliedIndex: () => this.#source.appliedIndex,
    });
  }

  get size(): number {
    return this.#watchers.size;
  }

  /**
   * The state is one that the client asked for: begins to watch, from `startRevision` on, or behind this
   * state. What there is to tell comes later.
   * @throws BalsaError `COMPACTED`, `OVERLOADED`, `SHUTTING_DOWN`
   */
  watch(request: WatchRequest, sink: WatchSink): Watcher {
    if (this.#stopped !== null) throw this.#stopped;
    if (this.#watchers.size >= this.#options.limits.watchesMax) throw overloaded('watchesMax');
    const { revision, compactedRevision } = this.#source;
    const next = { revision: request.startRevision ?? revision + 1, sub: 0 };
    if (next.revision < compactedRevision) throw compacted(next, this.#source);
    const nowMs = this.#options.clock.monotonicMs();
    const watcher = new Watcher(request, { sink, next, nowMs });
    if (this.#watchers.size === 0) this.#source.onWrites((events) => this.#hear(events));
    this.#watchers.add(watcher);
    this.#progress.told(watcher, nowMs);
    this.#fallBehind(watcher);
    return watcher;
  }

  cancel(watcher: Watcher): void {
    if (!this.#watchers.delete(watcher)) return;
    this.#leavePhase(watcher);
    watcher.phase = 'ended';
    this.#progress.forget(watcher);
    if (this.#watchers.size === 0) {
      this.#source.onWrites(null);
      // Nobody hears what is applied from now on: a page under way must not be taken for all that there is.
      this.#catchUp.drop();
    }
  }

  /** At the end of a turn, when nothing is being applied: tells what was heard in it. */
  flush(): void {
    if (this.#dirty.size === 0) return;
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    const { revision } = this.#source;
    for (const watcher of dirty) {
      const { pending } = watcher;
      watcher.pending = [];
      // One that was told before may have ended this stream.
      if (watcher.phase === 'live') this.#tell(watcher, pending, revision);
    }
  }

  /** Nothing reads the state from now on, until {@link follow}: another one takes its place. */
  pause(): void {
    this.flush();
    this.#source.onWrites(null);
    this.#catchUp.pause();
  }

  /** Goes on with a later state: what lies between is told from its history. */
  follow(source: WatchSource): void {
    this.flush();
    const next = { revision: this.#source.revision + 1, sub: 0 };
    assert(source.revision >= this.#source.revision, 'the state of a snapshot is a later one');
    this.#source = source;
    if (this.#watchers.size > 0) source.onWrites((events) => this.#hear(events));
    this.#catchUp.resume();
    for (const watcher of [...this.#watchers]) {
      if (watcher.phase !== 'live') continue;
      if (watcher.next.revision < next.revision) watcher.next = next;
      this.#fallBehind(watcher);
    }
  }

  /** Ends every watch with this error. */
  stop(error: BalsaError): void {
    this.#stopped = error;
    this.#catchUp.pause();
    for (const watcher of [...this.#watchers]) this.#end(watcher, error);
    this.#blocked.stop();
    this.#progress.stop();
  }

  // -------------------------------------------------------------------------------------------

  #hear(events: readonly WriteEvent[]): void {
    this.#catchUp.hear(events);
    for (const event of events) {
      this.#live.visit(toMapKey(event.key), (watcher) => {
        // `next`: one whose start is in the future.
        if (!isFrom(event, watcher.next) || !watcher.wants(event)) return;
        if (watcher.pending.length === 0) this.#dirty.add(watcher);
        watcher.pending.push(event);
      });
    }
  }

  /**
   * `events` are all that it wants to hear of from where it stands through this revision.
   * @returns the bytes of what it was told
   */
  #tell(watcher: Watcher, events: readonly WriteEvent[], through: number): number {
    const { limits, clock } = this.#options;
    const told = tellEvents(watcher, { events, through, limits, source: this.#source });
    if (told.answers > 0) this.#progress.told(watcher, clock.monotonicMs());
    if (watcher.phase === 'ended') return told.bytes;
    if (told.blockedAt !== null) {
      watcher.next = told.blockedAt;
      this.#block(watcher);
    } else if (through >= watcher.next.revision) {
      watcher.next = { revision: through + 1, sub: 0 };
    }
    return told.bytes;
  }

  /** Its stream is full: a live one is told that it lags, once. */
  #block(watcher: Watcher): void {
    const wasLive = watcher.phase === 'live';
    this.#leavePhase(watcher);
    watcher.phase = 'blocked';
    this.#blocked.add(watcher);
    if (!wasLive || watcher.isToldToLag) return;
    watcher.isToldToLag = true;
    const revision = watcher.next.revision - 1;
    watcher.sink.send({ type: 'watch-lagging', id: watcher.id, revision });
  }

  #goLive(watcher: Watcher): void {
    this.#leavePhase(watcher);
    watcher.phase = 'live';
    watcher.isToldToLag = false;
    this.#live.add(watcher);
  }

  /** Live at once when there is nothing to read. */
  #fallBehind(watcher: Watcher): void {
    if (watcher.next.revision > this.#source.revision) {
      this.#goLive(watcher);
      return;
    }
    this.#leavePhase(watcher);
    watcher.phase = 'behind';
    this.#catchUp.add(watcher);
  }

  #leavePhase(watcher: Watcher): void {
    if (watcher.phase === 'live') this.#live.remove(watcher);
    else if (watcher.phase === 'behind') this.#catchUp.remove(watcher);
    else if (watcher.phase === 'blocked') this.#blocked.remove(watcher);
    this.#dirty.delete(watcher);
    watcher.pending = [];
  }

  /** The last revision of which it was told all that it wants to hear; `null`: its stream has not taken that. */
  toldThrough(watcher: Watcher): number | null {
    if (watcher.phase === 'blocked') return null;
    if (watcher.sink.waitingBytes > this.#options.limits.watchBacklogBytesMax) return null;
    if (watcher.phase !== 'live') return watcher.next.revision - 1;
    // What was heard in this turn and not told comes first.
    const [first] = watcher.pending;
    return first === undefined ? this.#source.revision : first.revision - 1;
  }

  #end(watcher: Watcher, error: BalsaError): void {
    this.cancel(watcher);
    watcher.sink.send({ type: 'error', id: watcher.id, error: toWireError(asBalsaError(error)) });
  }
}

function compacted({ revision }: Position, { compactedRevision }: WatchSource): BalsaError {
  return new BalsaError(
    'COMPACTED',
    `events of revision ${revision} are no longer kept; the oldest are those of ${compactedRevision}:` +
      ' read the range anew, then watch from the revision of that read',
    { details: { revision, oldest: compactedRevision, compactedRevision } },
  );
}
