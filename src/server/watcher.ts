import { toMapKey } from '../base/bytes.js';
import type { ClientAnswer, WatchRequest } from '../rpc/protocol.js';
import type { Position } from '../statemachine/position.js';
import type { WriteEvent } from '../statemachine/types.js';
import type { Interval } from './interval-tree.js';

/** Where the answers of a watch go: one client stream. */
export interface WatchSink {
  /** Bytes handed over that the network has not taken. */
  readonly waitingBytes: number;
  send(answer: ClientAnswer): void;
}

/**
 * - `live`: is told of writes as they are applied
 * - `behind`: reads what it lacks from history
 * - `blocked`: waits until its stream has drained, then goes on as `behind`
 */
export type WatcherPhase = 'live' | 'behind' | 'blocked' | 'ended';

/** One watch of one client. The hub moves it from phase to phase. */
export class Watcher implements Interval {
  readonly id: number;
  readonly sink: WatchSink;
  readonly from: string;
  readonly to: string | null;
  readonly withPrevious: boolean;
  readonly #noPuts: boolean;
  readonly #noDeletes: boolean;
  phase: WatcherPhase = 'behind';
  /**
   * It has been told of everything before this place. While `live`: of everything before `pending` too, and it
   * wants nothing that is before this place.
   */
  next: Position;
  /** What it is to be told at the end of the turn. */
  pending: WriteEvent[] = [];
  /** When something was said to it last. */
  toldMs: number;
  /** It has been told that it lags, and has not caught up since. */
  isToldToLag = false;

  constructor(request: WatchRequest, options: { sink: WatchSink; next: Position; nowMs: number }) {
    this.id = request.id;
    this.from = toMapKey(request.from);
    this.to = request.to === null ? null : toMapKey(request.to);
    this.withPrevious = request.withPrevious;
    this.#noPuts = request.noPuts;
    this.#noDeletes = request.noDeletes;
    this.sink = options.sink;
    this.next = options.next;
    this.toldMs = options.nowMs;
  }

  /** Is this a kind of event that it wants to hear of? */
  wants({ type }: WriteEvent): boolean {
    return type === 'put' ? !this.#noPuts : !this.#noDeletes;
  }
}
