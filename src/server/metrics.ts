import { Counter, Gauge, Registry } from 'prom-client';
import type { CoreEvent } from '../raft/types.js';
import type { JobsStats } from '../rpc/job-protocol.js';
import type { ReplicaStatus } from '../rpc/protocol.js';

export interface MetricsSource {
  readonly status: () => ReplicaStatus;
  readonly isReady: () => boolean;
  /** `null`: it does not lead, and does not know. */
  readonly jobs: () => JobsStats | null;
}

const MS_PER_S = 1000;
const ROLES = ['leader', 'follower', 'candidate', 'pre-candidate'];

type Read<From> = (from: From) => number;
type Figures<From> = readonly (readonly [name: string, help: string, read: Read<From>])[];

const GAUGES: Figures<ReplicaStatus> = [
  ['term', 'Term of the log.', ({ term }) => term],
  ['has_leader', '1: it knows who leads.', ({ leader }) => (leader === null ? 0 : 1)],
  [
    'commit_index',
    'Last index of the log here that is known to be committed.',
    (s) => s.commitIndex,
  ],
  ['applied_index', 'Last index that is applied.', (s) => s.appliedIndex],
  ['last_index', 'Last index of the log.', (s) => s.lastIndex],
  ['durable_index', 'Last index that is on the disk here.', (s) => s.durableIndex],
  ['log_start_index', 'The log begins behind this index.', (s) => s.logStart],
  ['revision', 'Revision of the store.', ({ revision }) => revision],
  ['compacted_revision', 'Older revisions are not kept.', (s) => s.store.compactedRevision],
  ['sessions', 'Sessions of clients that are known.', ({ sessions }) => sessions],
  ['leases', 'Leases that are alive.', ({ store }) => store.leases],
  ['watches', 'Watches that are served here.', ({ watches }) => watches],
  ['client_streams', 'Clients that are connected here.', (s) => s.clientStreams],
  ['wal_bytes', 'Size of the log on the disk.', ({ wal }) => wal.bytes],
  ['wal_segments', 'Files of the log.', ({ wal }) => wal.segments],
  ['wal_last_sync_seconds', 'How long the last sync took.', (s) => s.wal.lastSyncMs / MS_PER_S],
  ['wal_max_sync_seconds', 'Longest sync since the start.', (s) => s.wal.maxSyncMs / MS_PER_S],
  ['space_bytes', 'What the keys and their history take.', ({ store }) => store.spaceBytes],
  ['space_quota_bytes', 'Beyond it puts are refused; 0: no bound.', (s) => s.store.spaceQuotaBytes],
  ['space_alarm', '1: puts are refused for want of space.', (s) => (s.store.spaceAlarm ? 1 : 0)],
  ['ap_pending_deltas', 'Calls of ap procedures not merged yet.', ({ ap }) => ap?.pending ?? 0],
  ['ap_queue_bytes', 'What those of this replica take.', ({ ap }) => ap?.ownBytes ?? 0],
  ['ap_copies_bytes', 'What copies of those of others take.', ({ ap }) => ap?.copiesBytes ?? 0],
  [
    'state_scrubbed_bytes',
    'What was read of the state to see that it is whole.',
    (s) => s.scrub?.bytes ?? 0,
  ],
  [
    'state_whole_seconds',
    'So long ago all of the state was found whole; NaN: it is not looked at.',
    (s) => (s.scrub?.wholeMs ?? Number.NaN) / MS_PER_S,
  ],
  ['uptime_seconds', 'Since the start.', ({ uptimeMs }) => uptimeMs / MS_PER_S],
  ['resident_memory_bytes', 'Memory of the process.', (s) => s.process.rssBytes],
  [
    'event_loop_delay_seconds',
    'Longest time that the event loop was held up in the last 5 to 10 seconds.',
    (s) => s.process.eventLoopDelayMs / MS_PER_S,
  ],
];

const JOB_GAUGES: Figures<JobsStats> = [
  ['queued_tasks', 'Tasks that could be run now, and are not claimed.', ({ queued }) => queued],
  ['running_tasks', 'Attempts at tasks that are under way.', ({ running }) => running],
  ['workers', 'Workers that are there.', ({ workers }) => workers.length],
  ['useful_threads', 'Threads that would be busy, were they there.', (s) => s.usefulThreads],
  ['useful_workers', 'The same in workers of the present mean size.', (s) => s.usefulWorkers],
];

/**
 * What a replica says of itself to Prometheus, in its text format: names begin with `balsa_` and end in their unit. Gauges are read
 * when somebody asks. Those of jobs are there at the leader only, which alone knows them.
 */
export class Metrics {
  readonly #source: MetricsSource;
  readonly #series = new Registry();
  readonly #gauges = new Map<string, Gauge>();
  readonly #syncs: Counter;
  readonly #events: Counter;
  readonly #info: Gauge;
  readonly #role: Gauge;
  readonly #matched: Gauge;
  readonly #active: Gauge;
  readonly #utilisation: Gauge;

  constructor(source: MetricsSource) {
    this.#source = source;
    this.#info = this.#gauge('info', 'What runs here; always 1.', [
      'replica',
      'cluster',
      'version',
    ]);
    this.#role = this.#gauge('role', '1: it has this role.', ['role']);
    this.#gauge('ready', '1: it has a leader, and a state that lacks little of what that has.');
    for (const [name, help] of GAUGES) this.#gauge(name, help);
    for (const [name, help] of JOB_GAUGES) this.#gauge(`jobs_${name}`, help);
    const followers = ['follower'];
    this.#matched = this.#gauge('follower_match_index', 'At the leader: has it.', followers);
    this.#active = this.#gauge('follower_active', 'At the leader: 1: is heard of.', followers);
    const worker = ['worker', 'home', 'where'];
    const use = 'At the leader: share of its threads that was busy in the last minute.';
    this.#utilisation = this.#gauge('jobs_worker_utilisation_ratio', use, worker);
    this.#syncs = this.#counter('wal_syncs_total', 'Syncs of the log.', []);
    const what = 'What has happened in the core: roles with their reasons, snapshots, compactions.';
    this.#events = this.#counter('core_events_total', what, ['event', 'detail']);
  }

  /** Something has happened in the core: counted. */
  noted(event: CoreEvent): void {
    this.#events.inc({ event: event.type, detail: detailOf(event) });
  }

  /** As Prometheus reads it. */
  async text(): Promise<string> {
    this.#read();
    return await this.#series.metrics();
  }

  // -------------------------------------------------------------------------------------------

  #read(): void {
    const { status, isReady, jobs } = this.#source;
    const now = status();
    const { replica, cluster, version, role } = now;
    this.#info.reset();
    this.#info.set({ replica, cluster, version }, 1);
    for (const one of ROLES) this.#role.set({ role: one }, one === role ? 1 : 0);
    this.#set('ready', isReady() ? 1 : 0);
    for (const [name, , read] of GAUGES) this.#set(name, read(now));
    this.#syncs.reset();
    this.#syncs.inc(now.wal.syncs);
    this.#matched.reset();
    this.#active.reset();
    for (const { name, matchIndex, active } of now.followers) {
      this.#matched.set({ follower: name }, matchIndex);
      this.#active.set({ follower: name }, active ? 1 : 0);
    }
    this.#readJobs(jobs());
  }

  #readJobs(stats: JobsStats | null): void {
    this.#utilisation.reset();
    for (const [name, , read] of JOB_GAUGES) {
      if (stats === null) this.#gauges.get(`jobs_${name}`)?.remove();
      else this.#set(`jobs_${name}`, read(stats));
    }
    for (const { worker, home, where, utilisation } of stats?.workers ?? []) {
      this.#utilisation.set({ worker, home, where }, utilisation);
    }
  }

  #set(name: string, value: number): void {
    this.#gauges.get(name)?.set(value);
  }

  #gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge {
    const registers = [this.#series];
    const gauge = new Gauge({
      name: `balsa_${name}`,
      help,
      labelNames: [...labelNames],
      registers,
    });
    this.#gauges.set(name, gauge);
    return gauge;
  }

  #counter(name: string, help: string, labelNames: readonly string[]): Counter {
    const registers = [this.#series];
    return new Counter({ name: `balsa_${name}`, help, labelNames: [...labelNames], registers });
  }
}

/** Few values each, so that there are not many series. */
function detailOf(event: CoreEvent): string {
  switch (event.type) {
    case 'role':
      return `${event.role}: ${event.reason}`;
    case 'transfer':
    case 'snapshot':
      return event.phase;
    case 'configuration':
      return event.committed ? 'committed' : 'in effect';
    default:
      return '';
  }
}
