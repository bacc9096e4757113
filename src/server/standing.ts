import { BalsaError } from '../base/errors.js';
import type { FormedMember, PeerHello } from '../rpc/peer-protocol.js';
import { Formation, type Formed } from './formation.js';
import { memberId } from './member-id.js';
import type { Roster } from './roster.js';

export interface StandingOptions {
  readonly clusterName: string;
  readonly self: FormedMember;
  /** Names of all founding members, this one included; used while the cluster is being formed. */
  readonly names: readonly string[];
  /** What the data folder says. */
  readonly restored: {
    readonly clusterId: string | null;
    readonly formation: readonly FormedMember[] | null;
    readonly joining: { readonly replaces: string | null } | null;
  };
}

/**
 * How this replica stands to its cluster, from its first start on. Either it helps to form a new
 * one (see {@link Formation}), or it waits to be let into one that exists. In the end it is bound to
 * one cluster, for ever, and hears only those who are of the same.
 */
export class Standing {
  readonly #options: StandingOptions;
  readonly #formation: Formation;
  /** It waits to be let in. */
  #joining: { readonly replaces: string | null } | null;
  #cluster: Formed | null = null;

  constructor(options: StandingOptions) {
    const { clusterName, self, names, restored } = options;
    this.#options = options;
    this.#joining = restored.joining;
    this.#formation = new Formation({
      clusterName,
      self,
      names,
      restored: restored.formation && { members: restored.formation },
    });
    if (restored.clusterId !== null && restored.formation !== null) {
      this.#cluster = { clusterId: restored.clusterId, members: restored.formation };
    }
  }

  /** The cluster that it belongs to, with its founding members. */
  get cluster(): Formed | null {
    return this.#cluster ?? this.#formation.formed;
  }

  /** The founding members that it is bound to, or will be. */
  get bound(): readonly FormedMember[] | null {
    return this.#cluster?.members ?? this.#formation.bound;
  }

  /** `null` unless it waits to be let in. */
  get joining(): { readonly replaces: string | null } | null {
    return this.cluster === null ? this.#joining : null;
  }

  /** What its folder asks for, whether it is bound to a cluster by now or not: a change that named it may have been rolled back. */
  get asked(): { readonly replaces: string | null } | null {
    return this.#joining;
  }

  /** Founding members that are waited for. */
  get missing(): readonly string[] {
    return this.cluster === null && this.#joining === null ? this.#formation.missing : [];
  }

  /** What it does as long as it belongs to no cluster. */
  get waits(): string {
    const { joining, missing } = this;
    if (joining === null) return `forming, waits for ${missing.join(', ')}`;
    if (joining.replaces === null) return 'joining, waits to be added (balsa cluster add)';
    const waits = 'joining, waits for the leader to let it in again';
    return joining.replaces === '' ? `${waits} (a new cluster is formed without --reseed)` : waits;
  }

  formAlone(): void {
    this.#formation.formAlone();
  }

  /**
   * Takes in what another replica says of itself. Returns whether a step was made: it must be on disk
   * before this replica says more.
   * @param roster the members, if there is a cluster already
   * @throws BalsaError when the two cannot belong together: `CLUSTER_MISMATCH`, `MEMBER_MISMATCH`,
   *   `MEMBER_REMOVED` (the other one)
   */
  meet(hello: PeerHello, roster: Roster | null): boolean {
    this.#checkNames(hello);
    const { cluster } = this;
    if (cluster !== null) {
      this.#meetAsMember(hello, cluster, roster);
      return false;
    }
    if (this.#joining !== null) return this.#meetAsJoiner(hello);
    // One that waits to be let in has nothing to do with the forming of a cluster.
    return hello.joining === null && this.#formation.meet(hello);
  }

  #checkNames(hello: PeerHello): void {
    const { clusterName, self } = this.#options;
    if (hello.clusterName !== clusterName) {
      throw new BalsaError(
        'CLUSTER_MISMATCH',
        `${hello.name} belongs to cluster "${hello.clusterName}", ${self.name} to "${clusterName}"`,
      );
    }
    if (hello.name === self.name) {
      throw mismatch(
        `${hello.name} is not another member known to ${self.name}: it is its own name`,
      );
    }
    if (hello.to !== self.name) {
      throw mismatch(
        `${hello.name} takes this address for that of "${hello.to}", but "${self.name}" listens here`,
      );
    }
    if (hello.toIncarnation !== null && hello.toIncarnation !== self.incarnation) {
      throw mismatch(
        `${hello.name} expects another data folder of ${self.name} here (incarnation ${hello.toIncarnation},` +
          ` this is ${self.incarnation})`,
      );
    }
    if (hello.formation === null && hello.clusterId !== null) {
      throw new BalsaError('FRAME_INVALID', `${hello.name} names a cluster without its members`);
    }
  }

  #meetAsMember(hello: PeerHello, cluster: Formed, roster: Roster | null): void {
    if (hello.clusterId !== null) {
      if (hello.clusterId !== cluster.clusterId) throw this.#otherCluster(hello, cluster);
      const removedAt = roster?.removedAt(hello) ?? null;
      if (removedAt !== null) throw removed(hello, removedAt);
      return;
    }
    if (hello.joining !== null) return;
    // A founding member that has not heard of the last step.
    if (cluster.members.some((m) => memberId(m) === memberId(hello))) return;
    throw mismatch(
      `the data folder of ${hello.name} is not one that this cluster knows (incarnation` +
        ` ${hello.incarnation}): a wiped member must not vote again; start it with --reseed, and it is` +
        ' let in under its new incarnation',
    );
  }

  /** Somebody who calls this very data folder has it among his members. */
  #meetAsJoiner(hello: PeerHello): boolean {
    if (hello.clusterId === null || hello.formation === null) return false;
    if (hello.toIncarnation !== this.#options.self.incarnation) return false;
    this.#cluster = { clusterId: hello.clusterId, members: hello.formation };
    return true;
  }

  #otherCluster(hello: PeerHello, cluster: Formed): BalsaError {
    const { self } = this.#options;
    return new BalsaError(
      'CLUSTER_MISMATCH',
      `${hello.name} belongs to cluster ${hello.clusterId}, ${self.name} to ${cluster.clusterId}` +
        ' (clusters of one name, formed apart): check that each member runs once, and the data folders',
    );
  }
}

function mismatch(message: string): BalsaError {
  return new BalsaError('MEMBER_MISMATCH', message);
}

function removed(hello: PeerHello, index: number): BalsaError {
  const member = memberId(hello);
  return new BalsaError(
    'MEMBER_REMOVED',
    `${hello.name} (incarnation ${hello.incarnation}) was removed from the cluster by log entry ${index}`,
    { details: { member, index } },
  );
}
