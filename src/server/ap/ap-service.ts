import type { Clock, Timer } from '../../base/clock.js';
import type { BalsaError } from '../../base/errors.js';
import type { Limits } from '../../base/limits.js';
import type { Random } from '../../base/random.js';
import type { MemberId } from '../../raft/types.js';
import type { ApFigures } from '../../rpc/call-protocol.js';
import type { DeltaFrame } from '../../rpc/delta-frames.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import type { MergeCommand } from '../../statemachine/types.js';
import type { DeltaQueue } from '../../storage/delta-queue.js';
import type { Runner } from '../calls/runner.js';
import { ApCalls } from './ap-calls.js';
import { Exchange } from './exchange.js';
import { HybridClock } from './hybrid-clock.js';
import { Merger } from './merger.js';
import { missingDeltas, withDeltasHint } from './missing-deltas.js';
import { type PendingDelta, PendingDeltas } from './pending-deltas.js';
import { Rights } from './rights.js';

export interface ApHost {
  readonly id: MemberId;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly random: Random;
  readonly queue: DeltaQueue;
  readonly runner: Runner;
  readonly machine: () => StateMachine;
  /** See `PendingDeltasOptions`. */
  readonly isKept: (index: number) => boolean;
  /** See `ApCallsOptions`. */
  readonly startIndex: number;
  /** Members of the cluster as this one knows them; itself may be among them. */
  readonly members: () => readonly MemberId[];
  /** It leads, and all members know of merges. */
  readonly canMerge: () => boolean;
  /** See `MergerOptions`. */
  readonly canLower: () => boolean;
  readonly propose: (merge: MergeCommand, done: (error: BalsaError | null) => void) => void;
  readonly send: (to: MemberId, frame: DeltaFrame) => void;
  readonly onFailure: (error: BalsaError) => void;
  /** See `ExchangeOptions`. */
  readonly onUnreadable: (from: MemberId, error: BalsaError) => void;
}

/** Whoever can be reached says so by then (`TELL_MS` in `Exchange`), in milliseconds. */
const REACH_MS = 1500;

/** What a replica has to do with `ap` procedures: it runs their calls, copies deltas to and fro, and merges as the leader. */
export class ApService {
  readonly calls: ApCalls;
  readonly #host: ApHost;
  readonly #hybrid: HybridClock;
  readonly #pending: PendingDeltas;
  readonly #exchange: Exchange;
  readonly #merger: Merger;
  readonly #rights: Rights;
  #isClosed = false;
  /** When calls came to be refused; on the monotonic clock. */
  #refusedMs: number | null = null;
  /** Of what others are to be told next. */
  #timer: Timer | null = null;

  constructor(host: ApHost) {
    this.#host = host;
    const { clock, queue, machine, limits, members, id } = host;
    const monotonicMs = (): number => clock.monotonicMs();
    const hybrid = new HybridClock(() => clock.wallMs());
    this.#hybrid = hybrid;
    const pending = new PendingDeltas({ queue, machine, monotonicMs, isKept: host.isKept });
    for (const { delta } of pending.list) hybrid.seen(delta);
    this.#pending = pending;
    this.#rights = new Rights({
      ...{ pending, clock: hybrid, random: host.random, monotonicMs },
      ask: (keys) => this.#exchange.askForRights(keys),
    });
    this.#exchange = new Exchange({
      ...{ id, limits, queue, pending, clock: hybrid, monotonicMs, send: host.send },
      later: (delayMs, callback) => this.#later(delayMs, callback),
      others: () => members().filter((member) => member !== id),
      onRightsWanted: (origin, keys) => {
        if (this.#refusedMs === null) this.#rights.asked(origin, keys);
      },
      onCopied: () => this.calls.goOn(),
      onUnreadable: host.onUnreadable,
    });
    this.calls = new ApCalls({
      ...{ clock, limits, runner: host.runner, machine, queue, pending, hybrid },
      startIndex: host.startIndex,
      onLooked: (key) => this.#rights.looked(key),
      copies: ({ origin, sequence }) => this.#exchange.copies(origin, sequence),
    });
    this.#merger = new Merger({
      ...{ limits, machine, monotonicMs, members, propose: host.propose },
      canMerge: () => !this.#isClosed && host.canMerge(),
      canLower: host.canLower,
      reports: () => this.#exchange.reports(),
      durable: () => this.#durable(),
    });
    queue.onDurable = () => {
      if (!this.#isClosed) this.#exchange.durable();
    };
  }

  /** The time of day, and not before what was seen of others. */
  get nowMs(): number {
    return this.#hybrid.nowMs;
  }

  get status(): ApFigures {
    const { queue } = this.#host;
    const { refusal } = this.#merger;
    return {
      origin: queue.origin,
      pending: this.#pending.list.length,
      ownBytes: queue.ownBytes,
      copiesBytes: queue.copiedBytes,
      refusal: refusal === null ? null : refusal.message,
    };
  }

  /** Calls that come from now on are answered with `error`; all else goes on. */
  refuse(error: BalsaError): void {
    this.#refusedMs ??= this.#host.clock.monotonicMs();
    this.calls.refuse(error);
  }

  /**
   * Nothing of what was acknowledged here is only here: another disk has it, or the log. Or it will not come to that now, as
   * nobody can be reached.
   */
  get isHandedOn(): boolean {
    if (this.calls.isBusy) return false;
    const own = this.#pending.list.findLast(({ isOwn }) => isOwn)?.delta;
    if (own === undefined || this.#exchange.copies(own.origin, own.sequence) > 0) return true;
    return !this.#exchange.isHeard && !this.#mayYetBeHeard;
  }

  /** Who has been reached again just now has not said so yet. */
  get #mayYetBeHeard(): boolean {
    const { clock, id, members } = this.#host;
    const others = members().filter((member) => member !== id);
    const refusedMs = this.#refusedMs ?? clock.monotonicMs();
    return others.length > 0 && clock.monotonicMs() - refusedMs < REACH_MS;
  }

  /** From another member. */
  receive(from: MemberId, frame: DeltaFrame): void {
    if (!this.#isClosed) this.#exchange.receive(from, frame);
  }

  tick(): void {
    if (this.#isClosed) return;
    this.#rights.tick();
    this.#exchange.tick();
    this.#merger.look();
  }

  /** The state has gone on, or is another one. */
  applied(): void {
    this.#checkWhole();
    this.calls.goOn();
  }

  close(error: BalsaError): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.calls.close(error);
  }

  #later(delayMs: number, callback: () => void): void {
    if (!this.#isClosed) this.#timer = this.#host.clock.setTimer(delayMs, callback);
  }

  /** Of entries that were applied since the start, or a state that came from others: the next start sees it before it begins. */
  #checkWhole(): void {
    const { queue, machine, onFailure } = this.#host;
    const error = this.#isClosed ? null : missingDeltas(machine(), queue);
    if (error !== null) onFailure(withDeltasHint(error));
  }

  *#durable(): Iterable<PendingDelta> {
    const { queue } = this.#host;
    for (const one of this.#pending.list) {
      if (one.position > queue.durablePosition) return;
      yield one;
    }
  }
}
