import type { VersionRange, WireError } from './protocol.js';

/** What the streams between replicas begin with. */

/** First frame of both sides of a peer stream. */
export interface PeerHello extends VersionRange {
  readonly clusterName: string;
  /** `null` while the cluster is being formed. */
  readonly clusterId: string | null;
  readonly name: string;
  /** Made new with each data folder. */
  readonly incarnation: string;
  /** Name that the other side is expected to have. */
  readonly to: string;
  /** Members with incarnations, once the cluster is formed. */
  readonly formation: readonly FormedMember[] | null;
  /** Set when the sender of this hello refuses the other side; the stream ends. */
  readonly refusal: WireError | null;
  /** Incarnation that the other side is expected to have; `null`: not known. */
  readonly toIncarnation: string | null;
  /** The newest formats that it can read, for rolling upgrades. */
  readonly formats: FormatVersions;
  /** It wants to be let in, and listens at this address; see `Joining`. */
  readonly joining: Joining | null;
  /** `host:port` where the sender is reached, for those who do not know it from the configuration. */
  readonly address: string | null;
  /**
   * Index of the latest committed configuration that names the sender, as far as it knows; `null`: none
   * that it knows does. Who knows a later one that does not name it can tell it that it was removed.
   */
  readonly memberAt: number | null;
}

/** A second stream of the kind of `PEER_STREAM_PATH`, on a connection of its own, for large frames. */
export const PEER_BULK_PATH = '/balsa.v1.Peer/Bulk';

/** What a member can read. A newer format is written only when all members can read it. */
export interface FormatVersions {
  readonly command: number;
  readonly snapshot: number;
}

/** A replica with a fresh data folder that waits to be let into a cluster that exists. */
export interface Joining {
  /** `host:port` where other members reach it. */
  readonly address: string;
  /**
   * The incarnation of its name whose disk was damaged: the leader lets it take that one's place by
   * itself (`start --reseed`). Empty: the disk is a new one, whichever incarnation had the name.
   * `null`: it waits for `cluster add`.
   */
  readonly replaces: string | null;
}

export interface FormedMember {
  readonly name: string;
  readonly incarnation: string;
}
