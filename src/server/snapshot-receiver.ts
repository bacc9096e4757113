import { unreachable } from '../base/assert.js';
import type { Clock, Timer } from '../base/clock.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import { FRAME_BYTES_MAX, type Limits } from '../base/limits.js';
import type { SnapshotChunk, SnapshotEnd } from '../base/snapshot-codec.js';
import { unpackConfiguration } from '../raft/configuration-codec.js';
import type { LogIndex, MemberId, SnapshotOffer } from '../raft/types.js';
import type { Channel } from '../rpc/channel.js';
import {
  packSnapshotFrame,
  type SnapshotFrame,
  type SnapshotOfferFrame,
  unpackSnapshotFrame,
} from '../rpc/snapshot-frames.js';
import { agreeOnVersion } from '../rpc/version.js';
import { toWireError } from '../rpc/wire-error.js';
import type { StateImport, StateVault } from '../storage/snapshot.js';
import type { ChannelReceiver, ReplicaNotice } from './replica-options.js';

export interface SnapshotReceiverHost {
  readonly id: MemberId;
  readonly cluster: { readonly name: string; readonly id: string };
  readonly clock: Clock;
  readonly limits: Limits;
  readonly vault: StateVault;
  readonly commitIndex: () => LogIndex;
  /** The core must hear of it: the whole snapshot is here, checked and durable (or not needed). */
  readonly onReceived: (offer: SnapshotOffer) => void;
  /** What was received could not even be deleted. */
  readonly onFailure: (error: unknown) => void;
  readonly onNotice: (notice: ReplicaNotice) => void;
}

/**
 * - `opening`, `receiving`: chunks come, or the connection has broken and the import waits for the next
 * - `finishing`: all have come and are checked and made durable
 * - `finished`: the core decides, or it is being installed
 */
type Phase = 'opening' | 'receiving' | 'finishing' | 'finished';

interface Incoming {
  readonly offer: SnapshotOfferFrame;
  phase: Phase;
  state: StateImport | null;
  /** The stream that brings it; `null`: it has broken. */
  session: Session | null;
  /** Until then (monotonic milliseconds) no other sender takes its place, so that it can go on. */
  awaitedUntilMs: number;
  /** What the core was told. */
  told: SnapshotOffer | null;
}

/**
 * Takes in the snapshots that leaders send, or have begun to send while they led: one at a time. While one
 * comes in, and for the time of a silence behind that, other senders are asked to wait: with each new leader
 * all would begin anew. One that its sender begins anew takes its place; the same one goes on where it broke
 * off. One that is whole waits for what the core says to it.
 */
export class SnapshotReceiver {
  readonly #host: SnapshotReceiverHost;
  #incoming: Incoming | null = null;
  /** Work on the disk is done in order, one piece at a time. */
  #tail: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(host: SnapshotReceiverHost) {
    this.#host = host;
  }

  get status(): {
    readonly member: MemberId;
    readonly index: LogIndex;
    readonly chunks: number;
  } | null {
    if (this.#incoming === null) return null;
    const { offer, state } = this.#incoming;
    const { index } = offer.header.position;
    return { member: offer.from, index, chunks: state?.chunks ?? 0 };
  }

  /** Another member has opened a stream. */
  accept(channel: Channel): ChannelReceiver {
    const session = new Session(this.#host, channel, {
      offered: (offer) => this.#offered(session, offer),
      chunk: (chunk) => this.#queue(session, (incoming) => this.#take(incoming, chunk)),
      end: (end) => this.#queue(session, (incoming) => this.#finish(incoming, end)),
      closed: (reason, isAwaited) => this.#lost(session, reason, isAwaited),
    });
    if (this.#stopped) session.refuse(new BalsaError('SHUTTING_DOWN', 'the replica is stopping'));
    return session;
  }

  /** The whole import that the core was told of by this offer. */
  finishedImport(offer: SnapshotOffer): StateImport | null {
    const incoming = this.#incoming;
    if (incoming?.phase !== 'finished' || incoming.told === null) return null;
    const { position } = incoming.told;
    const isSame = position.index === offer.position.index && position.term === offer.position.term;
    return isSame ? incoming.state : null;
  }

  /** The core does not want what it was told of, or it is installed. */
  settled(offer: SnapshotOffer, installed: boolean): void {
    const incoming = this.#incoming;
    if (incoming === null || incoming.told !== offer) return;
    if (installed) this.#incoming = null;
    else this.#run(() => this.#abandon(incoming, 'the state here is newer'));
  }

  /** No more frames are taken; an import that is not whole stays on the disk as it is. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#incoming?.session?.refuse(new BalsaError('SHUTTING_DOWN', 'the replica is stopping'));
  }

  /** The work on the disk that is under way is done. */
  whenIdle(): Promise<void> {
    return this.#tail;
  }

  #offered(session: Session, offer: SnapshotOfferFrame): void {
    const before = this.#incoming;
    const isSame = before !== null && before.offer.header.id === offer.header.id;
    const isNew = offer.header.position.index > this.#host.commitIndex();
    const refusal = this.#refusal(offer) ?? (isNew && !isSame ? this.#busy(offer) : null);
    if (refusal !== null) {
      this.#notice(offer, 'refused', refusal.message);
      session.refuse(refusal);
      return;
    }
    if (isNew || isSame) before?.session?.supersede();
    if (!isNew) {
      // The sender only has to hear so.
      if (before !== null && isSame) this.#run(() => this.#abandon(before, 'no longer needed'));
      this.#host.onReceived(toCore(offer));
      session.done();
    } else if (isSame && (before.phase === 'finishing' || before.phase === 'finished')) {
      before.session = session;
      if (before.phase === 'finished') session.done();
      else session.keepWaiting(before.state?.chunks ?? 0);
    } else {
      const incoming = incomingOf(offer, session);
      this.#incoming = incoming;
      this.#notice(offer, isSame ? 'resumed' : 'started', null);
      session.keepWaiting(0);
      this.#queue(session, () => this.#open(incoming));
    }
  }

  #refusal(offer: SnapshotOfferFrame): BalsaError | null {
    const { id, cluster } = this.#host;
    const { header, to } = offer;
    if (this.#stopped) return new BalsaError('SHUTTING_DOWN', 'the replica is stopping');
    if (header.clusterId !== cluster.id) {
      const message = `${id} belongs to cluster ${cluster.id}, the snapshot to ${header.clusterId}`;
      return new BalsaError('CLUSTER_MISMATCH', message);
    }
    if (to !== id) return new BalsaError('MEMBER_MISMATCH', `this is ${id}, not ${to}`);
    return null;
  }

  /** Must another snapshot wait for the one that is here already? */
  #busy({ from }: SnapshotOfferFrame): BalsaError | null {
    const before = this.#incoming;
    if (before === null) return null;
    if (before.phase === 'finishing' || before.phase === 'finished') {
      return busy('another snapshot is being installed');
    }
    if (before.offer.from === from || !this.#mayComeWhole(before)) return null;
    return busy(`${before.offer.from} sends one already`);
  }

  /** Somebody sends it, or has lost the connection a moment ago; and it is still of use. */
  #mayComeWhole({ offer, session, awaitedUntilMs }: Incoming): boolean {
    const { clock, commitIndex } = this.#host;
    if (offer.header.position.index <= commitIndex()) return false;
    return session !== null || clock.monotonicMs() < awaitedUntilMs;
  }

  /** Does the work when it is its turn, unless the stream that asked for it is of no concern any more. */
  #queue(session: Session, work: (incoming: Incoming) => Promise<void>): void {
    this.#run(async () => {
      const incoming = this.#incoming;
      if (incoming === null || incoming.session !== session) return;
      try {
        await work(incoming);
      } catch (error) {
        await this.#broke(incoming, asBalsaError(error));
      }
    });
  }

  #run(work: () => Promise<void>): void {
    this.#tail = this.#tail.then(async () => {
      if (this.#stopped) return;
      try {
        await work();
      } catch (error) {
        this.#host.onFailure(error);
      }
    });
  }

  async #open(incoming: Incoming): Promise<void> {
    incoming.state = await this.#host.vault.beginImport(incoming.offer.header);
    incoming.phase = 'receiving';
    incoming.session?.answer(incoming.state.chunks);
  }

  async #take(incoming: Incoming, chunk: SnapshotChunk): Promise<void> {
    if (incoming.phase !== 'receiving' || incoming.state === null) {
      throw new BalsaError('FRAME_INVALID', 'a chunk that was not asked for');
    }
    await incoming.state.write(chunk);
    incoming.session?.acknowledge(chunk.number, chunk.pairs.byteLength);
  }

  async #finish(incoming: Incoming, end: SnapshotEnd): Promise<void> {
    if (incoming.phase !== 'receiving' || incoming.state === null) {
      throw new BalsaError('FRAME_INVALID', 'an end that was not asked for');
    }
    incoming.phase = 'finishing';
    incoming.session?.keepWaiting(incoming.state.chunks);
    await incoming.state.finish(end);
    incoming.phase = 'finished';
    incoming.told = toCore(incoming.offer);
    this.#notice(incoming.offer, 'received', null);
    this.#host.onReceived(incoming.told);
    const { session } = incoming;
    incoming.session = null;
    session?.done();
  }

  /** What came was damaged, or the disk did not take it: the sender hears of it, and all goes. */
  async #broke(incoming: Incoming, error: BalsaError): Promise<void> {
    incoming.session?.refuse(error);
    await this.#abandon(incoming, error.message);
  }

  async #abandon(incoming: Incoming, reason: string): Promise<void> {
    if (this.#incoming === incoming) this.#incoming = null;
    this.#notice(incoming.offer, 'abandoned', reason);
    await incoming.state?.abandon();
  }

  /** The connection has broken; the import waits for the next. */
  #lost(session: Session, reason: string, isAwaited: boolean): void {
    const incoming = this.#incoming;
    if (incoming === null || incoming.session !== session) return;
    incoming.session = null;
    const { clock, limits } = this.#host;
    if (isAwaited) incoming.awaitedUntilMs = clock.monotonicMs() + limits.snapshotIdleMsMax;
    this.#notice(incoming.offer, 'broken', reason);
  }

  #notice(
    offer: SnapshotOfferFrame,
    phase: 'started' | 'resumed' | 'broken' | 'received' | 'refused' | 'abandoned',
    reason: string | null,
  ): void {
    const { index } = offer.header.position;
    this.#host.onNotice({ type: 'snapshot-receiving', phase, member: offer.from, index, reason });
  }
}

function incomingOf(offer: SnapshotOfferFrame, session: Session): Incoming {
  return { offer, phase: 'opening', state: null, session, awaitedUntilMs: 0, told: null };
}

function busy(reason: string): BalsaError {
  return new BalsaError('OVERLOADED', reason, { details: { retryAfterMs: 1000 } });
}

function toCore({ from, term, header }: SnapshotOfferFrame): SnapshotOffer {
  const { position, configuration, configurationIndex } = header;
  return {
    from,
    term,
    position,
    configuration: unpackConfiguration(configuration, configurationIndex),
  };
}

interface SessionHandlers {
  readonly offered: (offer: SnapshotOfferFrame) => void;
  readonly chunk: (chunk: SnapshotChunk) => void;
  readonly end: (end: SnapshotEnd) => void;
  /** `isAwaited`: the sender may come back, and nothing has shown that it is gone. */
  readonly closed: (reason: string, isAwaited: boolean) => void;
}

/** One stream on which a snapshot comes in. */
class Session implements ChannelReceiver {
  readonly #host: SnapshotReceiverHost;
  readonly #channel: Channel;
  readonly #handlers: SessionHandlers;
  #offered = false;
  #over = false;
  /** Chunks received and not taken in. */
  #waitingBytes = 0;
  #silence: Timer | null = null;
  #signs: Timer | null = null;
  #taken = 0;
  /** When the sender was last told that parts come. */
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(host: SnapshotReceiverHost, channel: Channel, handlers: SessionHandlers) {
    this.#host = host;
    this.#channel = channel;
    this.#handlers = handlers;
    this.#listen();
  }

  receive(frame: Buffer): void {
    if (this.#over) return;
    this.#listen();
    try {
      this.#handle(unpackSnapshotFrame(frame));
    } catch (error) {
      this.refuse(asBalsaError(error));
    }
  }

  /** One key and its value may be so large that it is on its way for longer than anybody may be silent. */
  partReceived(): void {
    if (this.#over) return;
    this.#listen();
    const { clock, limits } = this.#host;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#toldMs < limits.snapshotIdleMsMax / 4) return;
    this.#toldMs = nowMs;
    this.#send({ type: 'ack', chunk: this.#taken });
  }

  closed(): void {
    this.#end('the sender has gone');
  }

  answer(afterChunk: number): void {
    this.#taken = afterChunk;
    // From here on it is the sender's turn: a sign of life now would only hide that it is gone.
    this.#stopSigns();
    this.#send({ type: 'answer', afterChunk });
  }

  acknowledge(chunk: number, bytes: number): void {
    this.#taken = chunk;
    this.#waitingBytes -= bytes;
    this.#send({ type: 'ack', chunk });
    if (this.#waitingBytes === 0) this.#stopSigns();
  }

  /** The disk has work to do: meanwhile the sender gets signs of life. */
  keepWaiting(taken: number): void {
    this.#taken = taken;
    this.#giveSigns();
  }

  /** All of it is here, checked and durable. */
  done(): void {
    this.#send({ type: 'done' });
    this.#close();
  }

  refuse(error: BalsaError): void {
    this.#send({ type: 'refusal', error: toWireError(error) });
    this.#close();
  }

  /** The sender has opened another stream. */
  supersede(): void {
    this.#close();
  }

  #handle(frame: SnapshotFrame): void {
    switch (frame.type) {
      case 'header':
        if (this.#offered) throw new BalsaError('FRAME_INVALID', 'a second header');
        this.#offered = true;
        agreeOnVersion(frame.offer, frame.offer.from);
        this.#handlers.offered(frame.offer);
        break;
      case 'chunk':
        this.#admit(frame.chunk);
        this.#handlers.chunk(frame.chunk);
        break;
      case 'end':
        this.#handlers.end(frame.end);
        break;
      case 'refusal':
        this.#end(`the sender gives up: ${frame.error.message}`, false);
        this.#channel.end();
        break;
      case 'request':
      case 'answer':
      case 'ack':
      case 'done':
        throw new BalsaError('FRAME_INVALID', `the sender of a snapshot sent ${frame.type}`);
      default:
        unreachable(frame);
    }
  }

  /** A sender that does not keep to its window must not cost memory. */
  #admit(chunk: SnapshotChunk): void {
    const { snapshotWindowBytes } = this.#host.limits;
    if (this.#waitingBytes > snapshotWindowBytes + FRAME_BYTES_MAX) {
      throw new BalsaError(
        'OVERLOADED',
        'more chunks than were acknowledged and the window allows',
      );
    }
    this.#waitingBytes += chunk.pairs.byteLength;
    this.#giveSigns();
  }

  #send(frame: SnapshotFrame): void {
    if (!this.#over) this.#channel.send(packSnapshotFrame(frame));
  }

  #giveSigns(): void {
    if (this.#signs !== null || this.#over) return;
    const { clock, limits } = this.#host;
    this.#signs = clock.setTimer(limits.snapshotIdleMsMax / 4, () => {
      this.#signs = null;
      this.#send({ type: 'ack', chunk: this.#taken });
      // While the disk works here it is not the sender's turn.
      this.#listen();
      this.#giveSigns();
    });
  }

  #stopSigns(): void {
    this.#signs?.cancel();
    this.#signs = null;
  }

  #listen(): void {
    const { clock, limits } = this.#host;
    this.#silence?.cancel();
    if (this.#over) return;
    this.#silence = clock.setTimer(limits.snapshotIdleMsMax, () => {
      this.#end(`silent for ${limits.snapshotIdleMsMax} ms`, false);
      this.#channel.abort();
    });
  }

  #close(): void {
    this.#end('over');
    this.#channel.end();
  }

  #end(reason: string, isAwaited = true): void {
    if (this.#over) return;
    this.#over = true;
    this.#silence?.cancel();
    this.#stopSigns();
    this.#handlers.closed(reason, isAwaited);
  }
}
