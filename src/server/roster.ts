import { allMembers, isVoter, namesMember, otherMembers } from '../raft/configuration.js';
import type { Configuration, LogIndex, MemberId } from '../raft/types.js';
import type { FormatVersions, FormedMember, PeerHello } from '../rpc/peer-protocol.js';
import type { MemberAddress, MemberStatus, MembersStatus } from '../rpc/protocol.js';
import { incarnationOf, memberId, nameOf } from './member-id.js';

/** A place to dial, and who is expected there. */
export interface PeerTarget {
  readonly name: string;
  /** `null`: not known; whoever answers to the name. */
  readonly incarnation: string | null;
  /** `host:port` */
  readonly address: string;
}

/** What another member said of itself. */
interface Heard {
  readonly address: string | null;
  readonly formats: FormatVersions;
}

export interface RosterOptions {
  readonly self: FormedMember;
  /** Where others reach this replica. */
  readonly address: string;
  /** Addresses by name, from the configuration file: right for founding members that never moved. */
  readonly configured: ReadonlyMap<string, string>;
  /** Where to dial members, by name, when not at their address. Default: none. */
  readonly routes?: ReadonlyMap<string, string> | undefined;
}

/**
 * Who the members are, and where. The configuration in the log is what counts; the configuration file
 * is asked only where the log says nothing, and may be out of date without harm.
 */
export class Roster {
  readonly #options: RosterOptions;
  readonly #self: MemberId;
  readonly #heard = new Map<MemberId, Heard>();
  /** Those of whom this replica knows: it does not remember them from one start to the next. */
  readonly #removed = new Set<MemberId>();
  #hasBeenMember = false;
  #inEffect: Configuration;
  #committed: Configuration;

  /** `base`: the configuration that the cluster was formed with. */
  constructor(options: RosterOptions, base: Configuration) {
    this.#options = options;
    this.#self = memberId(options.self);
    this.#inEffect = base;
    this.#committed = base;
  }

  /** In effect, which is when it is appended. */
  get configuration(): Configuration {
    return this.#inEffect;
  }

  get isCommitted(): boolean {
    return this.#inEffect.index <= this.#committed.index;
  }

  /** Names this replica. */
  get namesSelf(): boolean {
    return this.has(this.#self);
  }

  /** A committed configuration has named this replica, since it was started. */
  get hasBeenMember(): boolean {
    return this.#hasBeenMember;
  }

  has(member: MemberId): boolean {
    return namesMember(this.#inEffect, member);
  }

  /** @returns the members that a newly committed configuration leaves out */
  update(inEffect: Configuration, committed: Configuration | null): readonly MemberId[] {
    this.#inEffect = inEffect;
    if (committed === null || committed.index < this.#committed.index) return [];
    const before = this.#committed;
    this.#committed = committed;
    if (namesMember(committed, this.#self)) this.#hasBeenMember = true;
    const left = otherMembers(before, this.#self).filter(
      (member) => !namesMember(committed, member),
    );
    for (const member of left) this.#removed.add(member);
    return left;
  }

  /** A committed configuration named it, and a later one does not. False also when that is not known. */
  wasRemoved(member: MemberId): boolean {
    return this.#removed.has(member) && !this.has(member);
  }

  /** A member of the same cluster has said hello. */
  heard(hello: PeerHello): void {
    this.#heard.set(memberId(hello), { address: hello.address, formats: hello.formats });
  }

  forget(member: MemberId): void {
    if (!this.has(member)) this.#heard.delete(member);
  }

  /** What a member can read, as it said last. */
  formatsOf(member: MemberId): FormatVersions | null {
    return this.#heard.get(member)?.formats ?? null;
  }

  /** For the own hello: see `PeerHello.memberAt`. */
  get memberAt(): LogIndex | null {
    return namesMember(this.#committed, this.#self) ? this.#committed.index : null;
  }

  /**
   * The index of the committed configuration by which the sender of this hello was removed; `null`: it
   * was not, or this replica does not know. One that lags never takes a new member for a removed one: it
   * must know a later configuration than the one in which the sender knows itself named.
   */
  removedAt(hello: Pick<PeerHello, 'name' | 'incarnation' | 'memberAt'>): LogIndex | null {
    const { index } = this.#committed;
    if (hello.memberAt === null || hello.memberAt >= index) return null;
    return namesMember(this.#committed, memberId(hello)) ? null : index;
  }

  /** `null` when nobody has said where it is. */
  addressOf(member: MemberId): string | null {
    const known = this.#known(member);
    return known.own ?? known.logged ?? known.configured ?? known.heard ?? null;
  }

  /**
   * What the log is to say of where it is. It counts for all members, before their files: so a file here that may be
   * out of date has less weight than the member's own word.
   */
  placeOf(member: MemberId): string | null {
    const known = this.#known(member);
    return known.own ?? known.logged ?? known.heard ?? known.configured ?? null;
  }

  /**
   * Where all members look for it, as far as is known here: what the log says, even of this replica, which may have moved and be the
   * only one to know. `null` when nobody has said where it is.
   */
  toldAddressOf(member: MemberId): string | null {
    return this.#known(member).logged ?? this.addressOf(member);
  }

  /** Where this replica dials a member. `null` when nobody has said where it is. */
  routeTo(member: MemberId): string | null {
    return this.#options.routes?.get(nameOf(member)) ?? this.addressOf(member);
  }

  /** All others whose place is known. */
  targets(): PeerTarget[] {
    return otherMembers(this.#inEffect, this.#self).flatMap((member) => this.target(member) ?? []);
  }

  target(member: MemberId): PeerTarget | null {
    const address = this.routeTo(member);
    if (address === null) return null;
    return { name: nameOf(member), incarnation: incarnationOf(member), address };
  }

  /** For clients. While a member takes another's place the name is that of the one who votes. */
  addresses(): MemberAddress[] {
    const byName = new Map<string, string>();
    for (const member of allMembers(this.#inEffect)) {
      const name = nameOf(member);
      const address = this.addressOf(member);
      if (address !== null && !byName.has(name)) byName.set(name, address);
    }
    return [...byName].map(([name, address]) => ({ name, address }));
  }

  status(): MembersStatus {
    const configuration = this.#inEffect;
    return {
      index: configuration.index,
      committed: this.isCommitted,
      joint: configuration.votersOutgoing.length > 0,
      members: allMembers(configuration).map((member) => this.#memberStatus(member)),
    };
  }

  #known(member: MemberId) {
    return {
      own: member === this.#self ? this.#options.address : null,
      logged: this.#inEffect.addresses.find((place) => place.member === member)?.address,
      configured: this.#options.configured.get(nameOf(member)),
      heard: this.#heard.get(member)?.address,
    };
  }

  #memberStatus(member: MemberId): MemberStatus {
    const { voters, promotions } = this.#inEffect;
    const promotion = promotions.find((p) => p.member === member);
    const outgoing = isVoter(this.#inEffect, member) ? 'outgoing' : 'learner';
    return {
      name: nameOf(member),
      incarnation: incarnationOf(member),
      address: this.toldAddressOf(member) ?? '',
      role: voters.includes(member) ? 'voter' : outgoing,
      promote: promotion !== undefined,
      replaces: promotion === undefined || promotion.replaces === null ? null : promotion.replaces,
    };
  }
}
