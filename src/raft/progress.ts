import { assert } from '../base/assert.js';
import { InflightWindow } from './inflight-window.js';
import type { Entry, LogIndex, MemberId, RaftOptions } from './types.js';

/**
 * - `probe`: where the logs agree is not known. One message, then wait for its answer.
 * - `replicate`: known. Messages follow one another without waiting, within the window.
 * - `load`: the entries it needs next are being read from the disk.
 * - `snapshot`: the entries it needs next are gone, and a snapshot was asked for. Nothing but heartbeats.
 */
export type ProgressState = 'probe' | 'replicate' | 'load' | 'snapshot';

/** What a leader knows of one follower. */
export class Progress {
  readonly member: MemberId;
  readonly window: InflightWindow;
  /** The follower's log is known to equal the leader's through here, on the follower's disk. */
  matchIndex: LogIndex = 0;
  /** What it has applied, as it has said last; 0: it has not said yet. */
  appliedIndex: LogIndex = 0;
  /** So many committed entries it had yet to apply when it was heard last; it has not said yet at first. */
  applyLag = Number.POSITIVE_INFINITY;
  /** The greatest round of reads that it has confirmed. */
  readRound = 0;
  /** The greatest round for which it has granted a lease. */
  leaseRound = 0;
  /** The commit index that it was told of. */
  sentCommit: LogIndex = 0;
  /** When the last AppendEntries was sent to it. */
  sentAtTick = 0;
  /** It may have missed something: ask with an empty AppendEntries. */
  askDue = false;
  /** Entries that were loaded from the disk, to send next. */
  #loadedEntries: readonly Entry[] | null = null;
  #state: ProgressState = 'probe';
  #nextIndex: LogIndex;
  /** A probe was sent, or would be of no use: wait for an answer, or for a sign of life. */
  #paused = false;
  /** While loading: the first entry asked for, and the state to go on in. */
  #loadFrom: LogIndex = 0;
  #stateAfterLoad: 'probe' | 'replicate' = 'probe';
  #activeAtTick = Number.NEGATIVE_INFINITY;

  constructor(member: MemberId, nextIndex: LogIndex, limits: RaftOptions['limits']) {
    this.member = member;
    this.#nextIndex = nextIndex;
    this.window = new InflightWindow(limits.inflightAppendsMax, limits.inflightBytesMax);
  }

  get state(): ProgressState {
    return this.#state;
  }

  /**
   * The entry to send next. Always beyond `matchIndex`. At or before the start of the log only when the
   * follower has said itself that it lacks what is gone.
   */
  get nextIndex(): LogIndex {
    return this.#nextIndex;
  }

  /** May entries be sent now? */
  get ready(): boolean {
    switch (this.#state) {
      case 'probe':
        return !this.#paused;
      case 'replicate':
        return !this.window.full;
      default:
        return false;
    }
  }

  heard(tick: number): void {
    this.#activeAtTick = tick;
  }

  wasActiveWithin(ticks: number, now: number): boolean {
    return now - this.#activeAtTick < ticks;
  }

  /** Entries through `lastIndex` were sent. */
  sent(lastIndex: LogIndex, bytes: number): void {
    if (this.#state === 'probe') {
      this.#paused = true;
      return;
    }
    this.window.add(lastIndex, bytes);
    this.#nextIndex = lastIndex + 1;
  }

  /** It has all through `matchIndex`; the log begins behind `logStart`. Says whether that was news. */
  accepted(matchIndex: LogIndex, logStart: LogIndex): boolean {
    if (matchIndex < this.matchIndex) return false;
    const news = matchIndex > this.matchIndex;
    this.matchIndex = matchIndex;
    this.window.freeThrough(matchIndex);
    const canGoOn = matchIndex >= logStart;
    if (canGoOn && (this.#state === 'probe' || this.#state === 'snapshot')) {
      // Any place from which entries can follow will do, whatever it was that brought it there.
      this.#state = 'replicate';
      this.#nextIndex = matchIndex + 1;
    } else {
      this.#nextIndex = Math.max(this.#nextIndex, matchIndex + 1);
    }
    return news;
  }

  /**
   * It refused the message that followed `prevIndex`; the logs may agree through `agreement` at
   * most. Says whether that was news: a refusal that was overtaken, or repeated, is none, and must
   * not take `nextIndex` back.
   */
  refused(prevIndex: LogIndex, agreement: LogIndex): boolean {
    if (this.#state === 'snapshot') return false;
    const probing = this.#state === 'probe' || this.#afterLoadProbes();
    const stale = probing
      ? prevIndex !== this.#nextIndex - 1
      : prevIndex <= this.matchIndex || prevIndex >= this.#nextIndex;
    if (stale || prevIndex <= this.matchIndex) return false;
    this.#probeFrom(Math.min(prevIndex, agreement + 1));
    return true;
  }

  /** Messages under way may be lost: find out what it has. */
  becomeUnreachable(logStart: LogIndex, tick: number): void {
    // Who is already probed waits for a sign of life, however often its connection is refused.
    if (this.#state === 'probe' || this.#afterLoadProbes()) return;
    if (this.#state === 'snapshot') this.snapshotFailed(logStart, tick);
    else this.#probeFrom(Math.max(this.matchIndex, logStart) + 1);
  }

  /** A snapshot was asked for. */
  awaitSnapshot(): void {
    assert(this.#state === 'probe', 'only the answer to a probe shows that a snapshot is needed');
    this.askDue = false;
    this.#state = 'snapshot';
  }

  /** It has a snapshot through `index`, or soon will: an empty message asks. */
  snapshotTaken(index: LogIndex, logStart: LogIndex, tick: number): void {
    this.#waitBehind(Math.max(index, logStart), tick);
    this.askDue = true;
  }

  /**
   * The snapshot did not get there, or it is not known whether it did. A later sign of life makes an
   * empty message ask whether it has come after all; the refusal asks for another one.
   */
  snapshotFailed(logStart: LogIndex, tick: number): void {
    this.#waitBehind(logStart, tick);
  }

  /**
   * The log begins behind `logStart` now. If that takes away what is to be sent next, the start of the
   * log is the first place to ask for: what is known may be old, and a snapshot is dear.
   */
  logCompacted(logStart: LogIndex): void {
    if (this.#state === 'snapshot' || this.#nextIndex > logStart) return;
    this.#probeFrom(logStart + 1);
  }

  /**
   * A sign of life that says nothing of its log. If it has owed an answer since `tick` or before, a
   * message may be lost: an empty one asks. (Empty, because its disk may just be slow.)
   */
  alive(tick: number): void {
    if (this.#state !== 'probe' && this.#state !== 'replicate') return;
    // A probe may have nothing to send, where the log was cut at its very end: nothing else would ask.
    const isBehind = this.matchIndex + 1 < this.#nextIndex;
    const waits = isBehind || (this.#state === 'probe' && this.#paused);
    if (waits && this.sentAtTick <= tick) this.askDue = true;
  }

  load(): void {
    assert(
      this.#state === 'probe' || this.#state === 'replicate',
      'one load at a time for a follower, and none for one that waits for a snapshot',
    );
    this.#stateAfterLoad = this.#state;
    this.#state = 'load';
    this.#loadFrom = this.#nextIndex;
  }

  /** The load that began with `fromIndex` has come. Says whether it is the one waited for. */
  loaded(fromIndex: LogIndex): boolean {
    if (this.#state !== 'load' || fromIndex !== this.#loadFrom) return false;
    this.#state = this.#stateAfterLoad;
    return true;
  }

  /** The disk no longer had what was to be loaded: the log is about to begin behind it. */
  loadedNothing(tick: number): void {
    if (this.#state === 'load') this.#waitBehind(this.#nextIndex - 1, tick);
  }

  keepLoaded(entries: readonly Entry[]): void {
    this.#loadedEntries = entries;
  }

  /** Loaded entries that begin with `nextIndex`, once. */
  takeLoaded(): readonly Entry[] | null {
    const entries = this.#loadedEntries;
    this.#loadedEntries = null;
    return entries?.[0]?.index === this.#nextIndex ? entries : null;
  }

  #afterLoadProbes(): boolean {
    return this.#state === 'load' && this.#stateAfterLoad === 'probe';
  }

  /** Probes behind `index`, though not before it gives a sign of life. */
  #waitBehind(index: LogIndex, tick: number): void {
    this.#probeFrom(index + 1);
    this.#paused = true;
    this.sentAtTick = tick;
  }

  #probeFrom(index: LogIndex): void {
    this.#state = 'probe';
    this.#paused = false;
    this.askDue = false;
    this.#loadedEntries = null;
    this.window.clear();
    this.#nextIndex = Math.max(index, this.matchIndex + 1);
  }
}
