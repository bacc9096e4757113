import { prefixEnd, startsWith } from '../../base/bytes.js';
import type { KeyRead, KeyWrite } from '../../base/call.js';
import { packCall } from '../../base/call-codec.js';
import { cutText } from '../../base/cut-text.js';
import { asBalsaError, type BalsaError } from '../../base/errors.js';
import { randomBytes } from '../../base/random.js';
import type { ClientAnswer, WatchEvent } from '../../rpc/protocol.js';
import type { TriggerState } from '../../statemachine/procedures.js';
import {
  packTriggerCursor,
  readTriggerCursor,
  TRIGGER_CURSORS,
  type TriggerCursor,
  triggerCursorKey,
} from '../../statemachine/trigger-cursors.js';
import type { WatchHub } from '../watch-hub.js';
import type { Watcher, WatchSink } from '../watcher.js';
import type { CallDone } from './call-types.js';
import { CODE_FAILED, type FollowUpHost, withoutCode } from './follow-ups.js';

export interface TriggerHost extends FollowUpHost {
  readonly watches: () => WatchHub;
}

/** How often it is looked for triggers that have come or gone. */
const INTERVAL_MS = 500;
/** Writes that one call is given. */
const EVENTS_MAX = 100;
/** So often a call with one write alone may fail before that is skipped. */
const FAILURES_MAX = 5;
/** Of the key of a write that is left out. */
const KEY_SHOWN_BYTES = 256;
const PAUSE_MS = 100;
const PAUSE_MS_MAX = 10_000;
/**
 * One that is called with nothing for so many revisions says so in the log all the same, since history is kept for it. Not
 * more often than this, in milliseconds: each time is a write. Triggers that say so together must not make it due again by that:
 * each of them has as many revisions more as there are others.
 */
const SEEN_REVISIONS = 100;
const SEEN_MS = 1000;

/**
 * Calls procedures with what is written. How far each has come is a key, which the call itself writes: so each write is told
 * once, whoever leads. Only the leader runs them.
 */
export class Triggers {
  readonly #host: TriggerHost;
  readonly #running = new Map<string, RunningTrigger>();
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(host: TriggerHost) {
    this.#host = host;
  }

  tick(): void {
    const { clock, canRun, machine } = this.#host;
    const nowMs = clock.monotonicMs();
    if (!canRun()) return;
    for (const trigger of this.#running.values()) {
      trigger.goOn();
      trigger.markSeen(SEEN_REVISIONS + this.#running.size - 1);
    }
    if (nowMs - this.#lookedMs < INTERVAL_MS) return;
    this.#lookedMs = nowMs;
    const wanted = new Map(
      machine()
        .triggers()
        .map((trigger) => [trigger.name, trigger]),
    );
    for (const [name, running] of this.#running) {
      if (running.isFor(wanted.get(name)) && !running.hasEnded) continue;
      running.stop();
      this.#running.delete(name);
    }
    for (const [name, trigger] of wanted) {
      if (!this.#running.has(name))
        this.#running.set(name, new RunningTrigger(this.#host, trigger));
    }
  }

  /** It does not lead any more. */
  stop(): void {
    for (const running of this.#running.values()) running.stop();
    this.#running.clear();
    this.#lookedMs = Number.NEGATIVE_INFINITY;
  }
}

/** One trigger, as long as this replica leads. */
class RunningTrigger implements WatchSink {
  readonly #host: TriggerHost;
  readonly #name: string;
  readonly #prefix: string;
  readonly #key: Buffer;
  #watcher: Watcher | null = null;
  #events: WatchEvent[] = [];
  #cursor: TriggerCursor;
  #cursorRevision: number;
  /** How far it has come as the log has it: history is kept from there on. */
  #notedRevision: number;
  readonly #beganAt: TriggerCursor;
  #toSkip: number;
  /** The revision of which more is to come; `null`: all that was heard is whole. */
  #openRevision: number | null = null;
  #isCalling = false;
  #seenMs = Number.NEGATIVE_INFINITY;
  #isStopped = false;
  #failures = 0;
  /** Since it was called last. */
  #pauses = 0;
  #notBeforeMs = 0;
  /** The next call gets so many writes at most: after a failure it is one. */
  #eventsMax = EVENTS_MAX;

  constructor(host: TriggerHost, { name, prefix, sinceRevision }: TriggerState) {
    this.#host = host;
    this.#name = name;
    this.#prefix = prefix;
    this.#key = triggerCursorKey(name);
    const stored = host.machine().get(this.#key, null);
    this.#cursorRevision = stored?.modRevision ?? 0;
    const noted = stored === null ? null : readTriggerCursor(stored.value);
    // One of its name may have been there before it, for other writes.
    const isOwn = noted !== null && noted.revision >= sinceRevision;
    this.#cursor = isOwn ? noted : { revision: sinceRevision, sub: 0 };
    this.#notedRevision = noted?.revision ?? sinceRevision;
    this.#beganAt = this.#cursor;
    this.#toSkip = this.#cursor.sub;
    this.#watch();
  }

  /**
   * Other code under its name goes on where it is, if it is for the same writes. Where it begins behind that place, the name
   * has stood for something else or for nothing meanwhile: what was written before is not for it, whoever leads.
   */
  isFor(wanted: TriggerState | undefined): boolean {
    return wanted?.prefix === this.#prefix && wanted.sinceRevision <= this.#cursor.revision;
  }

  /** It has to be begun anew. */
  get hasEnded(): boolean {
    return this.#watcher === null;
  }

  goOn(): void {
    if (this.#isCalling || this.#isStopped || this.#events.length === 0) return;
    if (this.#host.clock.monotonicMs() < this.#notBeforeMs || !this.#isWanted) return;
    this.#call(this.#events.slice(0, this.#eventsMax));
  }

  /** All that was written through now was of no concern to it, or it has been called with it. */
  markSeen(revisions: number): void {
    const { clock } = this.#host;
    const revision = this.#seenThrough;
    const isDue = revision - this.#notedRevision >= revisions;
    if (!isDue || clock.monotonicMs() - this.#seenMs < SEEN_MS || !this.#isWanted) return;
    const cursor = { revision, sub: 0 };
    const isBegun = this.#moveAlone(cursor, (answer) => {
      if (answer.ok) {
        this.#noted(cursor, answer.revision);
      } else if (answer.error.code === 'TXN_CONFLICT') this.#beginAnewIfMoved();
      this.goOn();
    });
    if (isBegun) this.#seenMs = clock.monotonicMs();
  }

  /** Its name may stand for code now that is for other writes: that has a place of its own. */
  get #isWanted(): boolean {
    const found = this.#host
      .machine()
      .triggers()
      .find(({ name }) => name === this.#name);
    return this.isFor(found);
  }

  /**
   * Moves the cursor on without a call of the code.
   * @param done not told when it is stopped
   * @returns false: it is no trigger any more
   */
  #moveAlone(cursor: TriggerCursor, done: CallDone): boolean {
    const { machine, random, submit } = this.#host;
    const procedure = this.#name;
    const hash = machine()
      .triggers()
      .find(({ name }) => name === procedure)?.hash;
    if (hash === undefined) return false;
    this.#isCalling = true;
    const identity = { procedure, hash, key: randomBytes(random, 16) };
    const bornIndex = machine().appliedIndex;
    submit(packCall(withoutCode({ ...identity, bornIndex }, this.#moveTo(cursor))), (answer) => {
      this.#isCalling = false;
      if (!this.#isStopped) done(answer);
    });
    return true;
  }

  get #seenThrough(): number {
    const { revision } = this.#cursor;
    const isBusy = this.#isCalling || this.#events.length > 0 || this.#openRevision !== null;
    if (isBusy || this.#watcher === null) return revision;
    return this.#host.watches().toldThrough(this.#watcher) ?? revision;
  }

  #moveTo(cursor: TriggerCursor): { readonly reads: KeyRead[]; readonly writes: KeyWrite[] } {
    return {
      reads: [{ key: this.#key, modRevision: this.#cursorRevision }],
      writes: [{ key: this.#key, value: packTriggerCursor(cursor) }],
    };
  }

  stop(): void {
    this.#isStopped = true;
    if (this.#watcher !== null) this.#host.watches().cancel(this.#watcher);
    this.#watcher = null;
  }

  // ---------------------------------------------------------------- as a sink of the watch

  get waitingBytes(): number {
    return this.#events.reduce(
      (sum, { item }) => sum + item.key.byteLength + item.value.byteLength + 100,
      0,
    );
  }

  send(answer: ClientAnswer): void {
    if (answer.type === 'watch-events') {
      for (const event of answer.events) this.#heard(event);
      this.#openRevision = answer.more ? answer.revision : null;
      this.goOn();
    } else if (answer.type === 'error') {
      // Compacted: what it has not been told is gone.
      this.#host.note(this.#name, `trigger: ${answer.error.code}: ${answer.error.message}`);
      this.#watcher = null;
    }
  }

  #heard(event: WatchEvent): void {
    // How far triggers have come is of no concern to any: it would be called for having been called, without end.
    if (startsWith(event.item.key, TRIGGER_CURSORS)) return;
    // Of the revision behind the cursor some had been told before.
    if (event.item.modRevision === this.#beganAt.revision + 1 && this.#toSkip > 0) {
      this.#toSkip -= 1;
      return;
    }
    this.#events.push({
      ...event,
      item: {
        ...event.item,
        key: Buffer.from(event.item.key),
        value: Buffer.from(event.item.value),
      },
    });
  }

  // ----------------------------------------------------------------

  #watch(): void {
    const { watches, machine } = this.#host;
    const from = Buffer.from(this.#prefix);
    const compacted = machine().compactedRevision;
    const next = this.#cursor.revision + 1;
    const startRevision = Math.max(next, compacted);
    if (startRevision > next) {
      const what = `trigger: revisions ${next} to ${startRevision - 1} were compacted`;
      this.#host.note(this.#name, `${what}, and it was not called with what they wrote`);
    }
    try {
      this.#watcher = watches().watch(
        {
          type: 'watch',
          ...{ id: 0, consistency: 'any', bound: 0, startRevision },
          ...{ from, to: prefixEnd(from), withPrevious: false, noPuts: false, noDeletes: false },
        },
        this,
      );
    } catch (cause) {
      this.#host.note(this.#name, `trigger: ${asBalsaError(cause).message}`);
    }
  }

  #call(events: readonly WatchEvent[]): void {
    const { machine, random, call } = this.#host;
    const last = events.at(-1);
    if (last === undefined) return;
    this.#isCalling = true;
    const cursor = this.#cursorBehind(events, last);
    const isLastTry = events.length === 1 && this.#failures >= FAILURES_MAX - 1;
    call(
      {
        procedure: this.#name,
        args: JSON.stringify(events.map(toArgument)),
        key: randomBytes(random, 16),
        ...{ isNamed: false, bornIndex: machine().appliedIndex },
        supplement: { ...this.#moveTo(cursor), evenIfFailed: isLastTry },
      },
      (answer) => {
        this.#isCalling = false;
        if (this.#isStopped) return;
        if (answer.ok) {
          if (answer.failure) this.#noteLeftOut(last, answer.failure);
          this.#called(events.length, cursor, answer.revision);
        } else if (!isLastTry || !this.#leaveOut(last, cursor, answer.error)) {
          this.#failed(answer.error.code);
        }
      },
    );
  }

  /**
   * A failure of the code the record itself has seen to. This is for what the code would write and the log does not take.
   * @returns whether the write that it was called with is left out
   */
  #leaveOut(write: WatchEvent, cursor: TriggerCursor, { code, message }: BalsaError): boolean {
    if (!CODE_FAILED.has(code)) return false;
    const isBegun = this.#moveAlone(cursor, (answer) => {
      if (answer.ok) this.#called(1, cursor, answer.revision);
      else this.#failed(answer.error.code);
    });
    if (isBegun) this.#noteLeftOut(write, `${code}: ${message}`);
    return isBegun;
  }

  #noteLeftOut({ item }: WatchEvent, why: string): void {
    const key = cutText(Buffer.from(item.key).toString(), KEY_SHOWN_BYTES);
    const what = `trigger: write ${key} at revision ${item.modRevision} is left out`;
    this.#host.note(this.#name, `${what}: ${why}`);
  }

  /** Several writes of one revision may be told in two calls. */
  #cursorBehind(events: readonly WatchEvent[], last: WatchEvent): TriggerCursor {
    const revision = last.item.modRevision;
    const next = this.#events[events.length]?.item.modRevision ?? this.#openRevision;
    if (next !== revision) return { revision, sub: 0 };
    const told = events.filter(({ item }) => item.modRevision === revision).length;
    const before = this.#cursor.revision === revision - 1 ? this.#cursor.sub : 0;
    return { revision: revision - 1, sub: before + told };
  }

  #called(count: number, cursor: TriggerCursor, revision: number): void {
    this.#events.splice(0, count);
    this.#noted(cursor, revision);
    this.#failures = 0;
    this.#pauses = 0;
    this.#eventsMax = Math.min(EVENTS_MAX, this.#eventsMax * 2);
    this.goOn();
  }

  #noted(cursor: TriggerCursor, revision: number): void {
    this.#cursor = cursor;
    this.#cursorRevision = revision;
    this.#notedRevision = cursor.revision;
  }

  #failed(code: string): void {
    if (code === 'TXN_CONFLICT') {
      this.#beginAnewIfMoved();
      return;
    }
    this.#pauses += 1;
    // Whether it fails with these writes only its code can say.
    if (CODE_FAILED.has(code)) {
      this.#failures += 1;
      this.#eventsMax = 1;
    }
    const pauseMs = Math.min(PAUSE_MS_MAX, PAUSE_MS * 2 ** Math.min(this.#pauses, 10));
    this.#notBeforeMs = this.#host.clock.monotonicMs() + pauseMs;
  }

  /** Somebody else has moved the cursor on, or has removed it. */
  #beginAnewIfMoved(): void {
    const stored = this.#host.machine().get(this.#key, null);
    if ((stored?.modRevision ?? 0) !== this.#cursorRevision) this.stop();
  }
}

function toArgument({ type, item }: WatchEvent): object {
  const value = type === 'delete' ? null : jsonOf(item.value);
  return { type, key: Buffer.from(item.key).toString(), value, revision: item.modRevision };
}

/** What is no JSON was put by others than procedures: it is given as text. */
function jsonOf(bytes: Uint8Array): unknown {
  const text = Buffer.from(bytes).toString('utf8');
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
