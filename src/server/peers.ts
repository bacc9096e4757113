import type { Clock } from '../base/clock.js';
import type { BalsaError } from '../base/errors.js';
import type { Limits } from '../base/limits.js';
import type { Random } from '../base/random.js';
import type { MemberId, Message } from '../raft/types.js';
import type { Channel } from '../rpc/channel.js';
import type { DeltaFrame } from '../rpc/delta-frames.js';
import type { JobFrame } from '../rpc/job-frames.js';
import { packDeltaFrame, packJobFrame, packPeerHello, packStateHash } from '../rpc/peer-frames.js';
import type { FormatVersions, FormedMember, PeerHello } from '../rpc/peer-protocol.js';
import { agreeOnVersion, OWN_VERSIONS } from '../rpc/version.js';
import { toWireError } from '../rpc/wire-error.js';
import { type InboundOwner, InboundPeer } from './inbound-peer.js';
import { memberId } from './member-id.js';
import { type LinkOptions, OutboundLink } from './outbound-link.js';
import type { PeerTarget, Roster } from './roster.js';
import type { Standing } from './standing.js';
import type { StateCheckpoint, Transport } from './transport.js';

export interface PeersOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: Limits;
  readonly clusterName: string;
  readonly self: FormedMember;
  /** Where others reach this replica. */
  readonly address: string;
  /** What it can read. */
  readonly formats: FormatVersions;
  /** Other replicas by name, from the configuration file: dialled as long as no member is known. */
  readonly seeds: ReadonlyMap<string, string>;
  readonly standing: Standing;
  /** `null` as long as there is no cluster. */
  readonly roster: () => Roster | null;
  readonly onMessage: (message: Message) => void;
  readonly onStateHash: (from: MemberId, checkpoint: StateCheckpoint) => void;
  readonly onDeltas: (from: MemberId, frame: DeltaFrame) => void;
  readonly onJobs: (from: MemberId, frame: JobFrame) => void;
  readonly onDisconnected: (member: MemberId) => void;
  /** What was sent to it may not have arrived; it is still connected. */
  readonly onMessagesLost: (member: MemberId) => void;
  /** Called when a hello made this replica's standing another; throws when that cannot be made durable. */
  readonly onStep: () => void;
  /** A replica wants to be let in. */
  readonly onJoining: (hello: PeerHello) => void;
  readonly onConnected: (peer: string) => void;
  /** A peer refuses this replica, or this one refuses the peer. */
  readonly onRefused: (peer: string, error: BalsaError) => void;
  readonly log: (level: 'info' | 'warn', fields: Record<string, unknown>, text: string) => void;
  /** A rule of ours is broken: the replica must stop. */
  readonly onFailure: (error: BalsaError) => void;
  /** As {@link LinkOptions.dial}. */
  readonly dial?: NonNullable<LinkOptions['dial']>;
}

/**
 * The streams between members. Each dials every other one and sends its messages on the stream that
 * it dialled; nothing goes over a stream before both ends have said who they are. What cannot be sent
 * at once is dropped: Raft sends again what matters.
 *
 * Whom to dial follows the configuration in effect. A replica of the same cluster that is not in it, or
 * not yet, may dial in, and is dialled back as long as it stays: the one or the other may lag behind.
 */
export class Peers implements Transport {
  readonly #options: PeersOptions;
  /** By target. */
  #links = new Map<string, OutboundLink>();
  #linkOfMember = new Map<MemberId, OutboundLink>();
  readonly #inbound = new Map<MemberId, InboundPeer>();
  readonly #inboundBulk = new Set<InboundPeer>();
  #started = false;
  #stopped = false;

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  start(): void {
    this.#started = true;
    this.refresh();
  }

  stop(): void {
    this.#stopped = true;
    for (const link of this.#links.values()) link.stop();
    for (const peer of this.#inbound.values()) peer.close();
    for (const peer of this.#inboundBulk) peer.close();
    this.#inbound.clear();
    this.#inboundBulk.clear();
  }

  /** Opens and closes links as the members have changed. */
  refresh(): void {
    if (!this.#started || this.#stopped) return;
    const old = this.#links;
    this.#links = new Map();
    for (const target of this.#targets()) {
      const key = `${target.name}.${target.incarnation} at ${target.address}`;
      if (this.#links.has(key)) continue;
      const known = old.get(key);
      old.delete(key);
      this.#links.set(key, known ?? new OutboundLink(this, this.#options, target));
      if (known === undefined) this.#links.get(key)?.connect();
    }
    for (const link of old.values()) link.stop();
    this.#mapMembers();
  }

  /** Another member has a stream open to here. */
  get isReached(): boolean {
    return this.#inbound.size > 0;
  }

  /** Members that were removed: let them ask again, and be told. */
  dismiss(members: readonly MemberId[]): void {
    for (const member of members) this.#inbound.get(member)?.close();
  }

  send(to: MemberId, messages: readonly Message[]): void {
    this.#linkOfMember.get(to)?.send(messages);
  }

  sendStateHash(to: MemberId, { index, hash }: StateCheckpoint): void {
    this.#linkOfMember.get(to)?.sendFrame(packStateHash(index, hash));
  }

  sendDeltas(to: MemberId, frame: DeltaFrame): void {
    this.#linkOfMember.get(to)?.sendFrame(packDeltaFrame(frame));
  }

  sendJobs(to: MemberId, frame: JobFrame): void {
    this.#linkOfMember.get(to)?.sendFrame(packJobFrame(frame));
  }

  /** Takes in a hello from either direction; throws when the two cannot belong together. */
  meet(hello: PeerHello): FormedMember {
    agreeOnVersion(hello, hello.name);
    const { standing, roster, onStep, onJoining } = this.#options;
    if (standing.meet(hello, roster())) {
      onStep();
      this.refresh();
    }
    if (standing.cluster !== null) {
      if (hello.joining !== null) onJoining(hello);
      if (hello.clusterId !== null) roster()?.heard(hello);
    }
    return { name: hello.name, incarnation: hello.incarnation };
  }

  /**
   * Who was dialled as a member and has begun anew says so in its refusal: it may not know the one that leads, if that has
   * joined after the members that it was told of.
   */
  refusedBy(hello: PeerHello): void {
    const { standing, clusterName, onJoining } = this.#options;
    const isOfCluster = standing.cluster !== null && hello.clusterName === clusterName;
    if (isOfCluster && hello.joining !== null) onJoining(hello);
  }

  ownHello(to: { name: string; incarnation: string | null }, refusal?: BalsaError): Buffer {
    const { standing, clusterName, self, roster, address, formats } = this.#options;
    const isMember = to.incarnation !== null && roster()?.has(`${to.name}.${to.incarnation}`);
    // As long as no committed configuration has named it: the one by which it was called may be rolled back.
    const joining = roster()?.hasBeenMember === true ? null : standing.asked;
    return packPeerHello({
      ...OWN_VERSIONS,
      clusterName,
      clusterId: standing.cluster?.clusterId ?? null,
      name: self.name,
      incarnation: self.incarnation,
      to: to.name,
      // Only a member is called by its data folder: one that waits to be let in takes it for the yes.
      toIncarnation: isMember === true ? to.incarnation : null,
      formation: standing.bound,
      refusal: refusal === undefined ? null : toWireError(refusal),
      formats,
      joining: joining && { address, replaces: joining.replaces },
      address,
      memberAt: roster()?.memberAt ?? null,
    });
  }

  /** A stream that another member dialled. */
  accept(channel: Channel): InboundPeer {
    const peer = new InboundPeer(this, this.#options, channel);
    if (this.#stopped) peer.close();
    return peer;
  }

  /** The second one of a member, for what is large. */
  acceptBulk(channel: Channel): InboundPeer {
    const owner: InboundOwner = {
      meet: (hello) => this.meet(hello),
      ownHello: (to, refusal) => this.ownHello(to, refusal),
      opened: (_member, peer) => void this.#inboundBulk.add(peer),
      closed: (member, peer) => {
        this.#inboundBulk.delete(peer);
        // What came over it last may have been heard behind the end of the other stream, and as a sign of life.
        if (!this.#stopped && !this.#inbound.has(member)) this.#options.onDisconnected(member);
      },
    };
    const peer = new InboundPeer(owner, this.#options, channel);
    if (this.#stopped) peer.close();
    return peer;
  }

  /** An accepted stream has said whose it is. */
  opened(member: MemberId, peer: InboundPeer): void {
    // The latest stream of a member counts; an older one may be half-open and die much later.
    this.#inbound.set(member, peer);
    const link = this.#linkOfMember.get(member);
    if (link === undefined) this.refresh();
    else link.peerDialled();
  }

  /** An accepted stream is over. */
  closed(member: MemberId, peer: InboundPeer): void {
    if (this.#inbound.get(member) !== peer) return;
    this.#inbound.delete(member);
    this.#options.onDisconnected(member);
    this.#options.roster()?.forget(member);
    this.refresh();
  }

  #targets(): PeerTarget[] {
    const { standing, seeds } = this.#options;
    const roster = this.#options.roster();
    if (standing.cluster === null || roster === null) {
      return [...seeds].map(([name, address]) => ({ name, incarnation: null, address }));
    }
    const guests = [...this.#inbound.keys()].filter((member) => !roster.has(member));
    return [...roster.targets(), ...guests.flatMap((member) => roster.target(member) ?? [])];
  }

  #mapMembers(): void {
    this.#linkOfMember = new Map();
    for (const link of this.#links.values()) {
      const { name, incarnation } = link.target;
      if (incarnation !== null) this.#linkOfMember.set(memberId({ name, incarnation }), link);
    }
  }
}
