import { BalsaError } from '../../src/base/errors.js';

const TIMEOUT_MS = 5000;

/** What a member of etcd says of itself on its page of metrics. */
export interface EtcdState {
  readonly isLeader: boolean;
  /** So many changes of the leader it has seen. */
  readonly leaderChanges: number;
  /** So many calls it has answered, by `method code` (`Put OK`). */
  readonly answered: Readonly<Record<string, number>>;
  /** Syncs of its log, and commits of its store, each of which syncs once. */
  readonly syncs: number;
}

/** @throws BalsaError `UNREACHABLE`; `INTERNAL` for a page that lacks what is looked for */
export async function etcdState(host: string): Promise<EtcdState> {
  const url = `${host}/metrics`;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    return parseEtcdState(await response.text());
  } catch (cause) {
    if (cause instanceof BalsaError) throw cause;
    const reason = String((cause as Error).cause ?? cause);
    throw new BalsaError('UNREACHABLE', `etcd did not give ${url}: ${reason}`, { cause });
  }
}

/** @throws BalsaError `INTERNAL` when something is not there: it would be taken for none */
export function parseEtcdState(page: string): EtcdState {
  const figure = (name: string): number => {
    const found = new RegExp(`^${name} (\\S+)$`, 'm').exec(page)?.[1];
    if (found !== undefined) return Number(found);
    throw new BalsaError(
      'INTERNAL',
      `the metrics of etcd have no ${name}: take etcd 3.3 or later; they begin: ${page.slice(0, 200)}`,
    );
  };
  const lines = page.matchAll(
    /^grpc_server_handled_total\{grpc_code="(\w+)",grpc_method="(\w+)",grpc_service="etcdserverpb\.KV",.*\} (\S+)$/gm,
  );
  return {
    isLeader: figure('etcd_server_is_leader') === 1,
    leaderChanges: figure('etcd_server_leader_changes_seen_total'),
    syncs:
      figure('etcd_disk_wal_fsync_duration_seconds_count') +
      figure('etcd_disk_backend_commit_duration_seconds_count'),
    answered: Object.fromEntries(
      [...lines].map(([, code, method, count]) => [`${method} ${code}`, Number(count)]),
    ),
  };
}
