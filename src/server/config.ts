import type { Limits } from '../base/limits.js';

/** Everything a replica is told when it starts. Made by `loadConfig` from file, environment, flags. */
export interface ServerConfig {
  /** Name of this member, e.g. `n1`. */
  readonly name: string;
  /** Name of the cluster; a data folder of another one is refused. Default `balsa`. */
  readonly cluster: string;
  /** `host:port` to listen on. Default: the own address in `members`. Port 0 picks a free one. */
  readonly listen: string;
  /** `host:port` that others are told. Default: the own address in `members`. */
  readonly advertise: string;
  /**
   * All members by name, with the address at which peers and clients reach them; this one included.
   * It forms the cluster; later the log knows who the members are, and where.
   */
  readonly members: Readonly<Record<string, string>>;
  /**
   * Where this replica dials other members, by name, when not at their address: the near end of a
   * tunnel or proxy. Others, and clients, are told nothing of it. Default: none.
   */
  readonly routes: Readonly<Record<string, string>>;
  /** `host:port` for `/metrics`, `/healthz` and `/readyz` over HTTP. Default: none. */
  readonly metricsListen: string;
  /** Folder for the log and the state. */
  readonly dataFolder: string;
  /** Without word from a leader for this to twice this long, an election starts. Default 750. */
  readonly electionTimeoutMs: number;
  /** Default 100; at most a third of electionTimeoutMs. */
  readonly heartbeatMs: number;
  /** `trace` to `fatal`, or `silent`. Default `info`. */
  readonly logLevel: string;
  /** Wait to be let into a cluster that exists, when the data folder is new. Default false. */
  readonly join: boolean;
  /**
   * If the data is damaged, move it aside (it is never deleted) and get it anew from the other
   * members. Default false.
   */
  readonly reseed: boolean;
  /** Members of higher priority had better lead; 0: only when no other comes forward. Default 100. */
  readonly electionPriority: number;
  /** Serve linearizable reads at the leader under a lease, without asking a majority. Default false. */
  readonly leaseReads: boolean;
  /** A leader whose disk does not finish a write for so long steps down. Default 3000. */
  readonly diskStallMs: number;
  readonly limits: Limits;
  /** Formats to pretend to know at most, e.g. `command=1`. Tests only; empty: all. */
  readonly unsafeFormats: string;
  /** A file that tells which faults the disk has (`DiskFaults`). Tests only; empty: none. */
  readonly unsafeDisk: string;
  /** Failpoints to turn on, e.g. `wal.before-sync=exit@3`. Tests only; empty: none. */
  readonly unsafeFailpoints: string;
}
