import { asBalsaError, BalsaError } from '../base/errors.js';
import type { ClientRequest, WatchEvent } from '../rpc/protocol.js';
import type { TellingIndex, WatchAnswer } from '../rpc/watch-protocol.js';
import type { CallLimits, Meta } from './pending.js';
import type { LaggingNotice, WatchQuery } from './watch-options.js';

/** All events of one revision; none: only that there is nothing through it. */
export interface RevisionEvents {
  readonly revision: number;
  readonly events: readonly WatchEvent[];
  readonly bytes: number;
  /** A state that has seen as much of the log has all of them. */
  readonly appliedIndex: TellingIndex;
}

type Told<Type extends WatchAnswer['type']> = Omit<
  Extract<WatchAnswer, { type: Type }>,
  'type' | 'id' | 'alsoFor'
>;

/** What an event takes in memory beside its bytes, roughly. */
const EVENT_BYTES = 200;

/**
 * - `waiting`: to be sent, when there is a link for it
 * - `asked`: sent over the present link, without an answer
 * - `established`: a replica tells of events
 * - `paused`: the caller is behind; goes on when he has taken what waits
 */
export type SubscriptionPhase = 'waiting' | 'asked' | 'established' | 'paused' | 'ended';

interface SubscriptionOptions {
  readonly query: WatchQuery;
  readonly limits: CallLimits;
  readonly onReady: (meta: Meta) => void;
  /** Called once: it is over. `null`: as the caller wished. */
  readonly onEnd: (error: BalsaError | null) => void;
  readonly onLagging: (notice: LaggingNotice) => void;
}

/**
 * One watch, across all replicas that serve it in turn: puts fragments together, keeps what is to be given, and
 * knows where to go on. What it gives is whole revisions, each once, in order.
 */
export class Subscription {
  readonly query: WatchQuery;
  readonly limits: CallLimits;
  readonly #options: SubscriptionOptions;
  phase: SubscriptionPhase = 'waiting';
  /** Of the request that was sent last. */
  requestId = 0;
  /** It was established once: from then on it has no time limit. */
  wasEstablished = false;
  failures = 0;
  lastRefusal: BalsaError | null = null;
  notBeforeMs = Number.NEGATIVE_INFINITY;
  /** The first revision of which it has not heard everything; `null`: it has no beginning yet. */
  #next: number | null;
  /** Events of revision `#next`, of which more are to come. */
  #partial: WatchEvent[] = [];
  #queue: RevisionEvents[] = [];
  #queueBytes = 0;
  #error: BalsaError | null = null;
  #wake: (() => void) | null = null;

  constructor(options: SubscriptionOptions) {
    this.query = options.query;
    this.limits = options.limits;
    this.#options = options;
    this.#next = options.query.fromRevision;
  }

  encode(id: number): ClientRequest {
    const { from, to, withPrevious, noPuts, noDeletes, consistency } = this.query;
    this.phase = 'asked';
    this.requestId = id;
    const flags = { withPrevious, noPuts, noDeletes };
    const startRevision = this.#next;
    return { type: 'watch', id, consistency, bound: 0, from, to, startRevision, ...flags };
  }

  /** The replica has it. */
  established(revision: number, meta: Meta): void {
    this.phase = 'established';
    this.wasEstablished = true;
    this.failures = 0;
    this.lastRefusal = null;
    this.#next ??= revision + 1;
    this.#options.onReady(meta);
  }

  /** @throws BalsaError `FRAME_INVALID` when they are not those that come next */
  told({ events, revision, more, appliedIndex }: Told<'watch-events'>): void {
    let last = this.#next ?? 0;
    for (const { item } of events) {
      if (item.modRevision < last || item.modRevision > revision) {
        const what = `an event of revision ${item.modRevision} where one of ${last} to ${revision} is due`;
        throw new BalsaError('FRAME_INVALID', `watch: ${what}`);
      }
      last = item.modRevision;
    }
    this.#queueWhole([...this.#partial, ...events], more ? revision : revision + 1, appliedIndex);
  }

  /** There is nothing between what was told and this revision. */
  progressed({ revision, appliedIndex }: Told<'watch-progress'>): void {
    const next = this.#next ?? 0;
    // A replica that is behind the one before has nothing new to say.
    if (this.#partial.length > 0 || revision < next - 1) return;
    this.#next = Math.max(next, revision + 1);
    // What nobody has taken yet need not pile up.
    if (this.#queue.at(-1)?.events.length === 0) this.#queue.pop();
    this.#enqueue({ revision, events: [], bytes: 0, appliedIndex });
  }

  lagging(revision: number): void {
    this.#options.onLagging({ code: 'WATCH_LAGGING', by: 'replica', revision });
  }

  /** What has been told of a revision that goes on is told again. */
  linkLost(): void {
    if (this.phase !== 'asked' && this.phase !== 'established') return;
    this.#askAgain(Number.NEGATIVE_INFINITY);
  }

  /** The replica does not serve it (any more). */
  retryAt(notBeforeMs: number, refusal: BalsaError): void {
    this.failures += 1;
    this.lastRefusal = refusal;
    this.#askAgain(notBeforeMs);
  }

  /**
   * More waits than may: nothing more is wanted until it has been taken. One revision, however large, is no more than the
   * caller has to take anyway. @returns is that so now?
   */
  pauseIfFull(): boolean {
    if (this.phase !== 'established' || this.#queueBytes <= this.query.bufferBytesMax) return false;
    const first = this.#queue.find(({ events }) => events.length > 0);
    if (this.#queueBytes === first?.bytes) return false;
    this.#partial = [];
    this.phase = 'paused';
    const revision = (this.#next ?? 1) - 1;
    this.#options.onLagging({ code: 'WATCH_LAGGING', by: 'client', revision });
    return true;
  }

  /** @returns was it paused, and goes on? */
  resumeIfTaken(): boolean {
    if (this.phase !== 'paused' || this.#queueBytes > this.query.bufferBytesMax / 2) return false;
    this.#askAgain(Number.NEGATIVE_INFINITY);
    return true;
  }

  /** What was told before can still be taken; then the error comes. */
  fail(error: BalsaError): void {
    if (this.phase === 'ended') return;
    this.#error = error;
    this.#end(error);
  }

  /** Ends at once. `null`: the caller wants no more. */
  end(error: BalsaError | null): void {
    this.#queue = [];
    this.#queueBytes = 0;
    if (this.phase === 'ended') return;
    this.#error = error;
    this.#end(error);
  }

  /** The next whole revision; `null`: it has been ended. @throws BalsaError why it ended */
  async take(): Promise<RevisionEvents | null> {
    for (;;) {
      const next = this.#queue.shift();
      if (next !== undefined) {
        this.#queueBytes -= next.bytes;
        return next;
      }
      if (this.#error !== null) throw this.#error;
      if (this.phase === 'ended') return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  // -------------------------------------------------------------------------------------------

  /** Everything before revision `next` is whole. */
  #queueWhole(events: readonly WatchEvent[], next: number, appliedIndex: TellingIndex): void {
    let whole: WatchEvent[] = [];
    let from = 0;
    for (; from < events.length; from += 1) {
      const event = events[from] as WatchEvent;
      if (event.item.modRevision >= next) break;
      whole.push(event);
      if (events[from + 1]?.item.modRevision === event.item.modRevision) continue;
      const { modRevision: revision } = event.item;
      this.#enqueue({ revision, events: whole, bytes: sizeOf(whole), appliedIndex });
      whole = [];
    }
    this.#partial = events.slice(from);
    this.#next = Math.max(next, this.#next ?? 0);
  }

  #enqueue(revision: RevisionEvents): void {
    this.#queue.push(revision);
    this.#queueBytes += revision.bytes;
    this.#wakeUp();
  }

  #askAgain(notBeforeMs: number): void {
    this.phase = 'waiting';
    this.#partial = [];
    this.notBeforeMs = notBeforeMs;
  }

  #end(error: BalsaError | null): void {
    this.phase = 'ended';
    this.#partial = [];
    this.#options.onEnd(error === null ? null : asBalsaError(error));
    this.#wakeUp();
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }
}

function sizeOf(events: readonly WatchEvent[]): number {
  let bytes = 0;
  for (const { item, previous } of events) {
    bytes += EVENT_BYTES + item.key.byteLength + item.value.byteLength;
    if (previous !== null) bytes += previous.key.byteLength + previous.value.byteLength;
  }
  return bytes;
}
