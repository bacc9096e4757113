import { countWhile } from '../../base/binary-search.js';
import { checkCellWrite } from '../../base/cell.js';
import type { Delta } from '../../base/delta.js';
import { unpackDelta } from '../../base/delta-codec.js';
import { asBalsaError, BalsaError } from '../../base/errors.js';
import type { Limits } from '../../base/limits.js';
import type { MemberId } from '../../raft/types.js';
import type { DeltaFrame, DeltasHeld, DeltasSent } from '../../rpc/delta-frames.js';
import type { OriginReport } from '../../statemachine/types.js';
import type { DeltaQueue } from '../../storage/delta-queue.js';
import type { HybridClock } from './hybrid-clock.js';
import type { PendingDelta, PendingDeltas } from './pending-deltas.js';

export interface ExchangeOptions {
  readonly limits: Limits;
  readonly id: MemberId;
  readonly queue: DeltaQueue;
  readonly pending: PendingDeltas;
  readonly clock: HybridClock;
  readonly monotonicMs: () => number;
  /** Calls back in so many milliseconds, unless all is over by then. */
  readonly later: (delayMs: number, callback: () => void) => void;
  /** All but this one. */
  readonly others: () => readonly MemberId[];
  readonly send: (to: MemberId, frame: DeltaFrame) => void;
  readonly onRightsWanted: (origin: string, keys: readonly string[]) => void;
  /** Somebody else has more on its disk than before. */
  readonly onCopied: () => void;
  /** What a member sends cannot be read here; told once, until it can. */
  readonly onUnreadable: (from: MemberId, error: BalsaError) => void;
}

/** How often each is told what is held here, when nothing changes, in milliseconds. */
const TELL_MS = 1000;
/** News are told to all by then. */
const NEWS_MS = 25;
/** What was sent and is not confirmed in this time is sent again, and then each time after twice as long. */
const RESEND_MS = 1000;
const RESEND_MS_MAX = 8 * RESEND_MS;
/** Who was not heard of for so long could not be reached: all begins anew. */
const SILENT_MS = 2 * TELL_MS;
/** As {@link RESEND_MS}, at the word of who lacks something: it may lack it for longer than one round. */
const REFUSED_MS = 200;
/** A copy is left to its origin for so long: then whoever lacks it is sent it. */
const FORWARD_MS = 300;
/** What may be on its way to one member, in bytes. */
const WINDOW_BYTES = 1024 * 1024;

interface Sent {
  readonly origin: string;
  readonly sequence: number;
  readonly bytes: number;
}

interface Peer {
  /** What it has sent was not all taken in here, and it is to be told so. */
  wasRefused: boolean;
  /** Nor can it be: what it has sent cannot be read, which was said. */
  isUnreadable: boolean;
  /** Where the last of what it has sent was put into the queue, and how far that was on the disk when it was told. */
  copiedPosition: number;
  toldPosition: number;
  /** What it was heard to have. */
  held: DeltasHeld | null;
  /** Through here (`PendingDelta.order`) it has all, or was sent it; by origin the last of these. None when all is sent again. */
  passedOrder: number;
  readonly passed: Map<string, number>;
  inFlight: Sent[];
  sentBytes: number;
  progressMs: number;
  /** See {@link RESEND_MS}. */
  resendMs: number;
  heardMs: number;
  /** When all was last begun anew. */
  restartedMs: number;
  toldMs: number;
}

/**
 * Members copy each other's deltas, whoever they can reach: so a minority sees what its members have done, and a lost disk
 * need not lose anything. Each sends what it holds in its own order, in which nothing comes before what it had seen, and waits
 * with what another one is probably sent by its origin. Nothing is sent that is not on the own disk.
 */
export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #peers = new Map<MemberId, Peer>();
  /** Others will be told of what they have not been told yet. */
  #hasNews = false;

  constructor(options: ExchangeOptions) {
    this.#options = options;
  }

  /** What members have said of their queues. */
  reports(): OriginReport[] {
    const { id } = this.#options;
    const reports: OriginReport[] = [];
    for (const member of this.#options.others()) {
      const held = this.#peers.get(member)?.held;
      if (held === null || held === undefined) continue;
      const { origin, sequence, timeMs } = held;
      reports.push({ member, origin, sequence, timeMs });
    }
    const { origin, sequence, timeMs } = this.#own();
    return [...reports, { member: id, origin, sequence, timeMs }];
  }

  askForRights(keys: readonly string[]): void {
    const { queue, others, send } = this.#options;
    const { origin } = queue;
    for (const member of others()) send(member, { type: 'rights-wanted', origin, keys });
  }

  /** How many others have it on their disks. */
  copies(origin: string, sequence: number): number {
    let count = 0;
    for (const member of this.#options.others()) {
      const held = this.#peers.get(member)?.held;
      if ((held?.through.get(origin) ?? 0) >= sequence) count += 1;
    }
    return count;
  }

  /** Others can be reached: they were heard of lately. */
  get isHeard(): boolean {
    const sinceMs = this.#options.monotonicMs() - SILENT_MS;
    return this.#options
      .others()
      .some((member) => (this.#peers.get(member)?.heardMs ?? sinceMs) > sinceMs);
  }

  receive(from: MemberId, frame: DeltaFrame): void {
    if (frame.type === 'deltas') this.#takeCopies(from, frame);
    else if (frame.type === 'deltas-held') this.#heard(from, frame);
    else this.#options.onRightsWanted(frame.origin, frame.keys);
  }

  /** What is durable now is sent, and told. */
  durable(): void {
    this.push();
    // Calls may wait for the word of those who have sent something.
    this.#tellAll(({ copiedPosition, toldPosition }) => copiedPosition > toldPosition);
    if (this.#hasNews) return;
    this.#hasNews = true;
    this.#options.later(NEWS_MS, () => {
      this.#hasNews = false;
      this.#tellAll(() => true);
    });
  }

  tick(): void {
    const nowMs = this.#options.monotonicMs();
    this.#forgetAllBut(this.#options.others());
    this.#tellAll((peer) => peer.wasRefused || nowMs - peer.toldMs >= TELL_MS);
    for (const peer of this.#peers.values()) {
      const isStuck = peer.sentBytes > 0 && nowMs - peer.progressMs >= peer.resendMs;
      if (!isStuck) continue;
      restart(peer, nowMs);
      peer.resendMs = Math.min(2 * peer.resendMs, RESEND_MS_MAX);
    }
    this.push();
  }

  /** Sends what others lack. */
  push(): void {
    const { list } = this.#options.pending;
    if (list.length === 0) return;
    for (const member of this.#options.others()) this.#pushTo(member, this.#peer(member), list);
  }

  // -------------------------------------------------------------------------------------------

  #pushTo(member: MemberId, peer: Peer, list: readonly PendingDelta[]): void {
    // Who has never said what it has cannot be reached, or does not know of deltas.
    if (peer.held === null || peer.sentBytes >= WINDOW_BYTES) return;
    const { queue, monotonicMs } = this.#options;
    const nowMs = monotonicMs();
    const sending: PendingDelta[] = [];
    for (let at = firstBehind(list, peer.passedOrder); at < list.length; at += 1) {
      const pending = list[at] as PendingDelta;
      const { origin, sequence } = pending.delta;
      if (sequence <= (peer.held.through.get(origin) ?? 0)) {
        pass(peer, pending);
        continue;
      }
      if (pending.position > queue.durablePosition) break;
      if (!pending.isOwn && nowMs - pending.heldMs < FORWARD_MS) break;
      if (peer.sentBytes >= WINDOW_BYTES) break;
      if (peer.sentBytes === 0) peer.progressMs = nowMs;
      const bytes = pending.bytes.byteLength;
      peer.inFlight.push({ origin, sequence, bytes });
      peer.sentBytes += bytes;
      sending.push(pending);
    }
    if (sending.length === 0) return;
    const behind = new Map(peer.passed);
    for (const pending of sending) pass(peer, pending);
    const deltas = sending.map(({ bytes }) => bytes);
    this.#options.send(member, { type: 'deltas', behind, deltas });
  }

  #tellAll(isDue: (peer: Peer) => boolean): void {
    let own: DeltasHeld | null = null;
    for (const member of this.#options.others()) {
      const peer = this.#peer(member);
      if (!isDue(peer)) continue;
      own ??= this.#own();
      this.#tell(member, peer, { ...own, lacks: peer.wasRefused });
    }
  }

  #tell(member: MemberId, peer: Peer, held: DeltasHeld): void {
    peer.toldMs = this.#options.monotonicMs();
    this.#options.send(member, held);
    peer.wasRefused = false;
    peer.toldPosition = this.#options.queue.durablePosition;
  }

  #own(): DeltasHeld {
    const { queue, clock, pending } = this.#options;
    const { origin } = queue;
    const through = pending.vector();
    // What is not durable may be lost yet.
    const { list } = pending;
    for (let i = list.length - 1; i >= 0; i -= 1) {
      const one = list[i] as PendingDelta;
      if (one.position <= queue.durablePosition) break;
      through.set(one.delta.origin, one.delta.sequence - 1);
    }
    const sequence = queue.lastSequence(origin);
    // Of what it has a copy of the origin may be lost, and speak no more for it.
    const timeMs = Math.min(clock.nowMs, pending.oldestCopyMs) - 1;
    return { type: 'deltas-held', origin, sequence, timeMs, through, lacks: false };
  }

  #heard(from: MemberId, held: DeltasHeld): void {
    const peer = this.#peer(from);
    const before = peer.held;
    peer.held = held;
    const hasMore = [...held.through].some(([o, s]) => s > (before?.through.get(o) ?? 0));
    // Another disk, or one that has lost what it had.
    const isOther = before !== null && before.origin !== held.origin;
    const nowMs = this.#options.monotonicMs();
    const isRefused = held.lacks && nowMs - peer.restartedMs >= REFUSED_MS;
    if (isOther || nowMs - peer.heardMs >= SILENT_MS) peer.resendMs = RESEND_MS;
    peer.heardMs = nowMs;
    if (isOther || isRefused) restart(peer, nowMs);
    if (!hasMore && !isOther && !isRefused) return;
    const { length } = peer.inFlight;
    peer.inFlight = peer.inFlight.filter(
      ({ origin, sequence }) => sequence > (held.through.get(origin) ?? 0),
    );
    peer.sentBytes = peer.inFlight.reduce((sum, { bytes }) => sum + bytes, 0);
    // What it has from others is no progress.
    if (peer.inFlight.length < length) {
      peer.progressMs = nowMs;
      peer.resendMs = RESEND_MS;
    }
    this.#options.onCopied();
    this.push();
  }

  #takeCopies(from: MemberId, { behind, deltas }: DeltasSent): void {
    const { queue, pending, clock, limits } = this.#options;
    const peer = this.#peer(from);
    // A frame was lost, or was not all taken in: these may have seen what was in it.
    if ([...behind].some(([origin, sequence]) => pending.through(origin) < sequence)) {
      peer.wasRefused = !peer.isUnreadable;
      return;
    }
    for (const bytes of deltas) {
      const delta = readDelta(bytes);
      // Nor what lies behind it, also that of other origins, which may have seen it.
      if (delta instanceof BalsaError) {
        this.#cannotRead(from, peer, delta);
        return;
      }
      const { origin, sequence } = delta;
      // Own ones come back from others when they are known to be merged by nobody: they are here.
      const next = pending.through(origin) + 1;
      if (origin === queue.origin || sequence < next) continue;
      if (sequence > next) {
        peer.wasRefused = true;
        return;
      }
      // One is always let in: else one that is larger would never be merged.
      const isFull = queue.copiedBytes + bytes.byteLength > limits.apCopiesBytesMax;
      if (isFull && queue.copiedBytes > 0) {
        peer.wasRefused = true;
        return;
      }
      clock.seen(delta);
      // A view of a whole frame would keep that.
      pending.add({ delta, bytes: Uint8Array.from(bytes) });
      peer.copiedPosition = pending.list.at(-1)?.position ?? 0;
    }
    peer.isUnreadable = false;
  }

  #cannotRead(from: MemberId, peer: Peer, error: BalsaError): void {
    if (!peer.isUnreadable) this.#options.onUnreadable(from, error);
    peer.isUnreadable = true;
  }

  #forgetAllBut(members: readonly MemberId[]): void {
    if (this.#peers.size <= members.length) return;
    for (const member of this.#peers.keys()) {
      if (!members.includes(member)) this.#peers.delete(member);
    }
  }

  #peer(member: MemberId): Peer {
    let peer = this.#peers.get(member);
    if (peer === undefined) {
      peer = {
        wasRefused: false,
        isUnreadable: false,
        copiedPosition: 0,
        toldPosition: 0,
        held: null,
        passedOrder: 0,
        passed: new Map(),
        inFlight: [],
        sentBytes: 0,
        progressMs: 0,
        resendMs: RESEND_MS,
        heardMs: -SILENT_MS,
        restartedMs: -REFUSED_MS,
        toldMs: -TELL_MS,
      };
      this.#peers.set(member, peer);
    }
    return peer;
  }
}

/** The error: nobody has made such a thing. The stream that it came on carries more than deltas, and goes on. */
function readDelta(bytes: Uint8Array): Delta | BalsaError {
  try {
    const delta = unpackDelta(bytes);
    for (const write of delta.writes) checkCellWrite(write);
    return delta;
  } catch (error) {
    const told = asBalsaError(error);
    if (told.code === 'FRAME_INVALID' || told.code === 'INVALID_ARGUMENT') return told;
    throw error;
  }
}

/** Whatever comes behind this one, the other side must have it. */
function pass(peer: Peer, { order, delta: { origin, sequence } }: PendingDelta): void {
  peer.passedOrder = Math.max(peer.passedOrder, order);
  peer.passed.set(origin, sequence);
}

/** Where in the list those begin that come behind `order`. */
function firstBehind(list: readonly PendingDelta[], order: number): number {
  return countWhile(list, (pending) => pending.order <= order);
}

/** What was sent and is not held is sent again. */
function restart(peer: Peer, nowMs: number): void {
  peer.passed.clear();
  peer.passedOrder = 0;
  peer.inFlight = [];
  peer.sentBytes = 0;
  peer.progressMs = nowMs;
  peer.restartedMs = nowMs;
}
