import type { ConnectOptions } from '../client/client.js';

export interface LocalClusterOptions {
  /** Default 3. */
  readonly replicas?: number | undefined;
  /** Where logs and data go. Default: a temporary folder, removed by `close`. */
  readonly folder?: string | undefined;
  /** Leave a temporary folder where it is at `close`. Default false. */
  readonly keep?: boolean | undefined;
  /** Name of the cluster. Default `local`. */
  readonly cluster?: string | undefined;
  /**
   * `switched`: the replicas reach each other over links that can be cut (`partition`, `isolate`, `cut`).
   * The bytes then pass through this process. `namespaces`: each replica is in a network namespace of the kernel, with packet filters
   * to cut it off from others; for root on Linux with `ip` and `iptables`. Default `direct`.
   */
  readonly network?: 'direct' | 'switched' | 'namespaces' | undefined;
  /** Default `info`. */
  readonly logLevel?: string | undefined;
  /** Environment of the replicas beyond our own. `BALSA_…` variables of our own are not passed on. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Environment of one replica beyond `env`. */
  readonly environmentOf?: ((name: string) => Readonly<Record<string, string>>) | undefined;
  /** Is told the id of each process of a replica that has ended, however it ended. */
  readonly onProcessEnd?: ((pid: number) => void) | undefined;
  /** Further arguments of `balsa start`. */
  readonly extraArgs?: readonly string[] | undefined;
  /** The compiled command, `dist/cli/main.js`. Default: that of this package. */
  readonly entry?: string | undefined;
  /** Bound for the first election. Default 30,000. */
  readonly startTimeoutMs?: number | undefined;
}

export interface StartReplicaOptions {
  /** Further arguments for this run only. */
  readonly args?: readonly string[] | undefined;
  /** Further environment for this run only. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Wait until it answers. Default true. */
  readonly wait?: boolean | undefined;
}

export interface AddReplicaOptions extends StartReplicaOptions {
  /** Default: the next of `n1`, `n2`, …; one of `n1` to `n9` on a `switched` network. */
  readonly name?: string | undefined;
  /**
   * Make it a member: `voter` (default) waits until it has its vote, `learner` until it is one; `null`
   * leaves it waiting to be let in.
   */
  readonly as?: 'voter' | 'learner' | null | undefined;
  /** The replica that leaves when this one gets its vote. */
  readonly replaces?: string | undefined;
}

/** Without codec: `connect` of a cluster gives bytes. Endpoints are those of the cluster, and cannot come in by a spread either. */
export type LocalConnectOptions = Omit<ConnectOptions, 'endpoints' | 'codec'> & {
  readonly endpoints?: never;
  readonly codec?: never;
};

export interface PlacedConnectOptions extends LocalConnectOptions {
  /** Stay at this one replica, as `connectTo` does. */
  readonly replica?: string | undefined;
}
