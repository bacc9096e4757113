import { createHash } from 'node:crypto';
import { BalsaError } from '../base/errors.js';
import { formedWith } from '../raft/configuration.js';
import type { Configuration } from '../raft/types.js';
import type { FormedMember, PeerHello } from '../rpc/peer-protocol.js';
import type { ServerConfig } from './config.js';
import type { Logger } from './log.js';
import { memberId } from './member-id.js';

/** The configuration that a formed cluster starts with. */
export function formedConfiguration(members: readonly FormedMember[]): Configuration {
  return formedWith(members.map(memberId));
}

/** Two clusters with one id would have the same members with the same disks. */
export function clusterIdOf(clusterName: string, members: readonly FormedMember[]): string {
  const sorted = members.map(memberId).sort();
  return createHash('sha256')
    .update(JSON.stringify([clusterName, sorted]))
    .digest('hex')
    .slice(0, 16);
}

/** A stale list of members must not keep a member from its cluster; whoever runs it is told. */
export function tellIfFoundersDiffer(
  bound: readonly FormedMember[],
  config: Pick<ServerConfig, 'members'>,
  log: Logger,
): void {
  const founders = bound.map((member) => member.name).sort();
  const configured = Object.keys(config.members).sort();
  if (JSON.stringify(founders) === JSON.stringify(configured)) return;
  log.warn(
    { founders, configured },
    'the configured members are not those that formed the cluster; the log says who the members are' +
      ' (change them with: balsa cluster)',
  );
}

export interface Formed {
  readonly clusterId: string;
  readonly members: readonly FormedMember[];
}

/**
 * How a new cluster comes to be, in two steps. A fresh member that has met every other one, and so
 * knows the incarnation of each disk, *binds* itself to that set, for ever. When it has heard from all
 * others that they are bound to the same set, the cluster is *formed*; only then is there a
 * configuration, and a vote. Each step is on disk before anybody hears of it.
 *
 * A member whose disk was wiped therefore never passes for the one that voted before: it is fresh,
 * but its peers are bound to its former incarnation and refuse it. And no disk is in two clusters: each
 * would need all of its disks bound to it, and a disk is bound once. (One step would not do: who has
 * met all may know one of them by a disk that was wiped since, or by that of another process of the
 * same name. Nor would a majority: an acknowledged entry might live on just the disks that were
 * wiped and one that was not asked.)
 */
export class Formation {
  readonly #clusterName: string;
  readonly #self: FormedMember;
  readonly #names: readonly string[];
  readonly #met = new Map<string, FormedMember>();
  /** Others that are bound as this one is. */
  readonly #agreed = new Set<string>();
  #bound: Formed | null;
  #isFormed: boolean;

  constructor(options: {
    clusterName: string;
    self: FormedMember;
    /** All members, this one included. */
    names: readonly string[];
    /** What the data folder says. */
    restored: { readonly members: readonly FormedMember[]; readonly isFormed?: boolean } | null;
  }) {
    this.#clusterName = options.clusterName;
    this.#self = options.self;
    this.#names = [...options.names].sort();
    this.#met.set(options.self.name, options.self);
    this.#bound = options.restored && this.#clusterOf(options.restored.members);
    this.#isFormed = options.restored?.isFormed ?? false;
  }

  get formed(): Formed | null {
    return this.#isFormed ? this.#bound : null;
  }

  /** The members that this one is bound to form the cluster with, or has formed it with. */
  get bound(): readonly FormedMember[] | null {
    return this.#bound?.members ?? null;
  }

  /** Names of those that are waited for. */
  get missing(): readonly string[] {
    const heard = this.#bound === null ? this.#met : this.#agreed;
    return this.#names.filter((name) => name !== this.#self.name && !heard.has(name));
  }

  /**
   * Takes in what another member says of itself. Returns whether a step was made: it must be on disk
   * before this member says more.
   * @throws BalsaError when the two cannot belong together: `CLUSTER_MISMATCH`, `MEMBER_MISMATCH`
   */
  meet(hello: PeerHello): boolean {
    this.#check(hello);
    if (this.#isFormed) return false;
    const isBound = this.#bound !== null;
    this.#met.set(hello.name, { name: hello.name, incarnation: hello.incarnation });
    if (hello.formation !== null) {
      this.#bound ??= this.#clusterOf(hello.formation);
      this.#agreed.add(hello.name);
    } else if (!isBound && this.missing.length === 0) {
      this.#bound = this.#clusterOf([...this.#met.values()]);
    }
    // One that has formed heard it of all.
    const all = this.#bound !== null && this.missing.length === 0;
    this.#isFormed = all || hello.clusterId !== null;
    return this.#isFormed || isBound !== (this.#bound !== null);
  }

  /** A cluster of one has nobody to meet. */
  formAlone(): void {
    this.#bound = this.#clusterOf([this.#self]);
    this.#isFormed = true;
  }

  #clusterOf(members: readonly FormedMember[]): Formed {
    const sorted = [...members].sort((a, b) => (a.name < b.name ? -1 : 1));
    return { clusterId: clusterIdOf(this.#clusterName, sorted), members: sorted };
  }

  #check(hello: PeerHello): void {
    if (hello.clusterName !== this.#clusterName) {
      throw new BalsaError(
        'CLUSTER_MISMATCH',
        `${hello.name} belongs to cluster "${hello.clusterName}", ${this.#self.name} to "${this.#clusterName}"`,
      );
    }
    // Of a cluster that is formed any member may tell: new ones have come, and old ones have gone.
    const isKnown = hello.clusterId !== null || this.#names.includes(hello.name);
    if (!isKnown || hello.name === this.#self.name) {
      throw new BalsaError(
        'MEMBER_MISMATCH',
        `${hello.name} is not another member known to ${this.#self.name}`,
      );
    }
    if (hello.to !== this.#self.name) {
      throw new BalsaError(
        'MEMBER_MISMATCH',
        `${hello.name} takes this address for that of "${hello.to}", but "${this.#self.name}" listens here`,
      );
    }
    if (hello.formation === null && hello.clusterId !== null) {
      throw new BalsaError('FRAME_INVALID', `${hello.name} names a cluster without its members`);
    }
    this.#checkIncarnations(hello);
    this.#checkBinding(hello);
  }

  /** Each must know the other by the disk that it has. */
  #checkIncarnations(hello: PeerHello): void {
    const known = this.#bound?.members.find((m) => m.name === hello.name);
    if (known !== undefined && known.incarnation !== hello.incarnation) {
      throw new BalsaError(
        'MEMBER_MISMATCH',
        `the data folder of ${hello.name} is not the one the cluster was formed with (incarnation` +
          ` ${hello.incarnation}, expected ${known.incarnation}): a wiped member must not vote again`,
      );
    }
    if (hello.formation === null) return;
    const theirs = hello.formation.map((m) => m.name).sort();
    if (JSON.stringify(theirs) !== JSON.stringify(this.#names)) {
      throw new BalsaError(
        'MEMBER_MISMATCH',
        `${this.#self.name} is configured with the members ${this.#names.join(', ')}, but the cluster` +
          ` was formed with ${theirs.join(', ')}`,
      );
    }
    const other = { name: hello.name, incarnation: hello.incarnation };
    for (const own of hello.clusterId === null ? [this.#self, other] : [this.#self]) {
      if (hello.formation.some((m) => memberId(m) === memberId(own))) continue;
      throw new BalsaError(
        'MEMBER_MISMATCH',
        `${hello.name} is in a cluster that was formed without this data folder` +
          ` (${own.name}, incarnation ${own.incarnation}): a wiped member must not vote again`,
      );
    }
  }

  /** Both in one cluster, if they are in any. */
  #checkBinding(hello: PeerHello): void {
    if (this.#bound === null || hello.formation === null) return;
    const theirs = clusterIdOf(this.#clusterName, hello.formation);
    if (theirs === this.#bound.clusterId && theirs === (hello.clusterId ?? theirs)) return;
    throw new BalsaError(
      'CLUSTER_MISMATCH',
      `${hello.name} belongs to cluster ${hello.clusterId ?? theirs}, ${this.#self.name} to ${this.#bound.clusterId}` +
        ' (clusters of one name, formed apart): check that each member runs once, and the data folders',
    );
  }
}
