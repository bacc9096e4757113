import type { Clock, Timer } from '../base/clock.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { MemberId, Message } from '../raft/types.js';
import type { Channel } from '../rpc/channel.js';
import type { DeltaFrame } from '../rpc/delta-frames.js';
import type { JobFrame } from '../rpc/job-frames.js';
import { type PeerFrame, packProbeAnswer, unpackPeerFrame } from '../rpc/peer-frames.js';
import type { FormedMember, PeerHello } from '../rpc/peer-protocol.js';
import { memberId } from './member-id.js';
import type { Standing } from './standing.js';
import type { StateCheckpoint } from './transport.js';

/** A stream that says nothing is ended, in milliseconds. */
const HELLO_TIMEOUT_MS = 3000;

export interface InboundOptions {
  readonly clock: Clock;
  readonly self: FormedMember;
  readonly standing: Standing;
  readonly onMessage: (message: Message) => void;
  readonly onStateHash: (from: MemberId, checkpoint: StateCheckpoint) => void;
  readonly onDeltas: (from: MemberId, frame: DeltaFrame) => void;
  readonly onJobs: (from: MemberId, frame: JobFrame) => void;
  readonly log: (level: 'info' | 'warn', fields: Record<string, unknown>, text: string) => void;
  readonly onFailure: (error: BalsaError) => void;
}

/** What an accepted stream asks of those it belongs to. */
export interface InboundOwner {
  meet(hello: PeerHello): FormedMember;
  ownHello(to: { name: string; incarnation: string | null }, refusal?: BalsaError): Buffer;
  opened(member: MemberId, peer: InboundPeer): void;
  closed(member: MemberId, peer: InboundPeer): void;
}

/** An error that no other member can bring about. */
export function isOurs(error: BalsaError): boolean {
  return error.code === 'INVARIANT' || error.code === 'INTERNAL';
}

/** The receiving end of a stream that another member dialled. */
export class InboundPeer {
  readonly #owner: InboundOwner;
  readonly #options: InboundOptions;
  readonly #channel: Channel;
  readonly #helloTimer: Timer;
  #over = false;
  #welcomed = false;
  #ends: { readonly from: MemberId; readonly to: MemberId } | null = null;

  constructor(owner: InboundOwner, options: InboundOptions, channel: Channel) {
    this.#owner = owner;
    this.#options = options;
    this.#channel = channel;
    this.#helloTimer = options.clock.setTimer(HELLO_TIMEOUT_MS, () => channel.abort());
  }

  /** Never throws: a bad frame ends this stream. */
  receive(bytes: Buffer): void {
    if (this.#over) return;
    try {
      this.#take(unpackPeerFrame(bytes, this.#ends ?? { from: '', to: '' }));
    } catch (cause) {
      const error = asBalsaError(cause);
      if (isOurs(error)) {
        this.#options.onFailure(error);
        return;
      }
      const { code, message: reason } = error;
      this.#options.log('warn', { code, reason }, 'refused a peer stream');
      this.#channel.send(this.#owner.ownHello({ name: '', incarnation: null }, error));
      this.close();
    }
  }

  #take(frame: PeerFrame): void {
    if (frame.type === 'hello') {
      this.#welcome(frame.hello);
      return;
    }
    if (this.#ends === null) throw new BalsaError('FRAME_INVALID', 'messages before the hello');
    if (frame.type === 'probe') {
      this.#channel.send(packProbeAnswer(), true);
    } else if (frame.type === 'probe-answer') {
      throw new BalsaError('FRAME_INVALID', 'an answer to a probe that was never sent');
    } else if (frame.type === 'messages') {
      for (const message of frame.messages) this.#options.onMessage(message);
    } else if (frame.type === 'state-hash') {
      this.#options.onStateHash(this.#ends.from, { index: frame.index, hash: frame.hash });
    } else if (frame.type === 'task-demand' || frame.type === 'task-ends') {
      this.#options.onJobs(this.#ends.from, frame);
    } else {
      this.#options.onDeltas(this.#ends.from, frame);
    }
  }

  /** The stream is over. */
  closed(): void {
    this.#over = true;
    this.#helloTimer.cancel();
    const from = this.#ends?.from;
    if (from !== undefined) this.#owner.closed(from, this);
  }

  /** Sends what waits and ends it; nothing more is taken from it. */
  close(): void {
    this.#over = true;
    this.#helloTimer.cancel();
    this.#channel.end();
  }

  #welcome(hello: PeerHello): void {
    if (this.#welcomed) throw new BalsaError('FRAME_INVALID', 'a second hello on one stream');
    this.#helloTimer.cancel();
    const member = this.#owner.meet(hello);
    this.#welcomed = true;
    this.#channel.send(this.#owner.ownHello(member));
    // Nothing is taken from one that is not of the same cluster yet.
    if (this.#options.standing.cluster === null || hello.clusterId === null) return;
    const from = memberId(member);
    this.#ends = { from, to: memberId(this.#options.self) };
    this.#owner.opened(from, this);
  }
}
