import { createHash } from 'node:crypto';
import { BalsaError } from '../base/errors.js';
import type { Configuration, MemberId } from '../raft/types.js';
import type { FormedMember, PeerHello } from '../rpc/protocol.js';

/** A member as the consensus module knows it: name and incarnation. */
export function memberId(member: FormedMember): MemberId {
  return `${member.name}.${member.incarnation}`;
}

/** The configuration that a formed cluster starts with. */
export function formedConfiguration(members: readonly FormedMember[]): Configuration {
  return { index: 0, voters: members.map(memberId), votersOutgoing: [], learners: [] };
}

/** Two clusters with one id would have the same members with the same disks. */
export function clusterIdOf(clusterName: string, members: readonly FormedMember[]): string {
  const sorted = members.map(memberId).sort();
  return createHash('sha256')
    .update(JSON.stringify([clusterName, sorted]))
    .digest('hex')
    .slice(0, 16);
}

export interface Formed {
  readonly clusterId: string;
  readonly members: readonly FormedMember[];
}

/**
 * How a new cluster comes to be. Each fresh member waits until it has met every other one and knows
 * the incarnation of its disk; only then is there a configuration, and a vote. A member whose disk
 * was wiped therefore never passes for the one that voted before: it is fresh, but its peers have
 * formed with its former incarnation and refuse it. (A majority would not be enough to form: an
 * acknowledged entry might live on just the disks that were wiped and one that was not asked.)
 */
export class Formation {
  readonly #clusterName: string;
  readonly #self: FormedMember;
  readonly #names: readonly string[];
  readonly #met = new Map<string, FormedMember>();
  #formed: Formed | null;

  constructor(options: {
    clusterName: string;
    self: FormedMember;
    /** All members, this one included. */
    names: readonly string[];
    formed: Formed | null;
  }) {
    this.#clusterName = options.clusterName;
    this.#self = options.self;
    this.#names = [...options.names].sort();
    this.#formed = options.formed;
    this.#met.set(options.self.name, options.self);
  }

  get formed(): Formed | null {
    return this.#formed;
  }

  /** Names not yet met. */
  get missing(): readonly string[] {
    return this.#names.filter((name) => !this.#met.has(name));
  }

  /**
   * Takes in what another member says of itself. Returns the formation if this completed it.
   * @throws BalsaError when the two cannot belong together: `CLUSTER_MISMATCH`, `MEMBER_MISMATCH`
   */
  meet(hello: PeerHello): Formed | null {
    this.#check(hello);
    if (this.#formed !== null) return null;
    this.#met.set(hello.name, { name: hello.name, incarnation: hello.incarnation });
    if (hello.formation !== null) return this.#complete(hello.formation);
    if (this.missing.length > 0) return null;
    return this.#complete(this.#names.map((name) => this.#met.get(name) as FormedMember));
  }

  /** A cluster of one has nobody to meet. */
  formAlone(): Formed {
    return this.#complete([this.#self]);
  }

  #complete(members: readonly FormedMember[]): Formed {
    this.#formed = { clusterId: clusterIdOf(this.#clusterName, members), members };
    return this.#formed;
  }

  #check(hello: PeerHello): void {
    if (hello.clusterName !== this.#clusterName) {
      throw new BalsaError(
        'CLUSTER_MISMATCH',
        `${hello.name} belongs to cluster "${hello.clusterName}", ${this.#self.name} to "${this.#clusterName}"`,
      );
    }
    if (!this.#names.includes(hello.name)) {
      throw new BalsaError(
        'MEMBER_MISMATCH',
        `${hello.name} is not a member known to ${this.#self.name}`,
      );
    }
    if (hello.to !== this.#self.name) {
      throw new BalsaError(
        'MEMBER_MISMATCH',
        `${hello.name} takes this address for that of "${hello.to}", but "${this.#self.name}" listens here`,
      );
    }
    if (
      this.#formed !== null &&
      hello.clusterId !== null &&
      hello.clusterId !== this.#formed.clusterId
    ) {
      throw new BalsaError(
        'CLUSTER_MISMATCH',
        `${hello.name} belongs to cluster ${hello.clusterId}, ${this.#self.name} to ${this.#formed.clusterId}` +
          ' (clusters of one name, formed apart): check the data folders',
      );
    }
    this.#checkIncarnations(hello);
  }

  #checkIncarnations(hello: PeerHello): void {
    const known = this.#formed?.members.find((m) => m.name === hello.name);
    if (known !== undefined && known.incarnation !== hello.incarnation) {
      throw new BalsaError(
        'MEMBER_MISMATCH',
        `the data folder of ${hello.name} is not the one the cluster was formed with (incarnation` +
          ` ${hello.incarnation}, expected ${known.incarnation}): a wiped member must not vote again`,
      );
    }
    if (this.#formed !== null || hello.formation === null) return;
    const theirs = hello.formation.map((m) => m.name).sort();
    if (theirs.join() !== this.#names.join()) {
      throw new BalsaError(
        'MEMBER_MISMATCH',
        `${this.#self.name} is configured with the members ${this.#names.join(', ')}, but the cluster` +
          ` was formed with ${theirs.join(', ')}`,
      );
    }
    const me = hello.formation.find((m) => m.name === this.#self.name);
    if (me?.incarnation === this.#self.incarnation) return;
    throw new BalsaError(
      'MEMBER_MISMATCH',
      `${hello.name} is in a cluster that was formed without this data folder` +
        ` (${this.#self.name}, incarnation ${this.#self.incarnation}): a wiped member must not vote again`,
    );
  }
}
