import { BalsaError } from '../../base/errors.js';
import { type Random, seededRandom } from '../../base/random.js';
import type { LocalCluster } from '../../cluster/local-cluster.js';
import type { SourceRecord } from './documents.js';
import { FailoverMeter } from './failover-meter.js';
import { Ledger } from './ledger.js';
import { runLoad, type Writer } from './load.js';
import { countFindings, type DemoReport, type ReplicaLine, statesEqual } from './report.js';
import type { ProgressBar, Teller } from './teller.js';
import { type Finding, judgeOrder } from './verdict.js';
import { type Reader, verifyReplica } from './verify.js';

export interface StoryOptions {
  readonly cluster: LocalCluster;
  readonly db: Writer & Reader;
  readonly records: readonly SourceRecord[];
  readonly seed: number;
  /** Rounds to write at least. */
  readonly rounds: number;
  readonly teller: Teller;
  readonly signal: AbortSignal;
}

/** Writes that the new leader must have acknowledged before the load may end. */
const AFTER_FAILOVER_MIN = 1000;
const IDLE_MS_MAX = 60_000;

const count = (n: number): string => n.toLocaleString('en-US');
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** Load, kill, verify, restart, verify again. What is wrong with the data is in the report. */
export async function playStory(options: StoryOptions): Promise<DemoReport> {
  const { cluster, db, teller, signal } = options;
  const revisionBefore = (await db.status()).revision;
  const ledger = new Ledger();
  const load = await loadThroughKill(options, ledger);
  const findings: Finding[] = [...judgeOrder(ledger)];
  let versionsRead = 0;
  const verify = async (name: string): Promise<void> => {
    const verification = await verifyOne(options, ledger, { name, revisionBefore });
    findings.push(...verification.findings);
    versionsRead += verification.versions;
  };
  teller.say();
  teller.say('Reading every version of every key back from each live replica (linearizable reads)');
  for (const replica of cluster.running) await verify(replica.name);
  const catchUpMs = await restart(options, load.killed);
  await verify(load.killed);
  signal.throwIfAborted();
  const replicas = await equalReplicas(cluster);
  const equal = statesEqual(replicas);
  return {
    verdict: findings.length === 0 && equal ? 'passed' : 'failed',
    seed: options.seed,
    keys: ledger.keys.length,
    ...load,
    acknowledged: ledger.counts.acknowledged,
    unknown: ledger.counts.unknown,
    notApplied: ledger.counts.notApplied,
    lost: countFindings(findings, 'lost'),
    duplicated: countFindings(findings, 'duplicated'),
    different: countFindings(findings, 'different'),
    statesEqual: equal,
    catchUpMs,
    versionsRead,
    replicas,
    findings,
  };
}

type LoadFigures = Pick<
  DemoReport,
  'rounds' | 'killed' | 'newLeader' | 'failoverMs' | 'standstillMs' | 'putsPerSecond'
>;

async function loadThroughKill(options: StoryOptions, ledger: Ledger): Promise<LoadFigures> {
  const { cluster, db, records, teller, signal } = options;
  const random = seededRandom(options.seed);
  const planned = options.rounds * records.length;
  const meter = new FailoverMeter();
  const killAfter = pickKillPoint(planned, random);
  let kill: Promise<string> | null = null;
  teller.say(
    `Loading ${count(records.length)} keys in ${options.rounds} rounds or more, 64 puts under way at a time`,
  );
  const bar = teller.startBar('writes', planned);
  const startedMs = performance.now();
  const rounds = await runLoad(db, {
    records,
    ledger,
    random,
    signal,
    more: (round) => {
      checkProgress(cluster, meter);
      return round <= options.rounds || meter.acknowledgedAfter < AFTER_FAILOVER_MIN;
    },
    onAcknowledged: (_write, term) => {
      meter.acknowledged(performance.now(), term);
      bar.step();
      if (kill === null && ledger.counts.acknowledged >= killAfter) {
        kill = killLeader(options, meter, startedMs);
        // Awaited below; a failure until then must not count as unhandled.
        kill.catch(() => {});
      }
    },
  });
  const tookMs = performance.now() - startedMs;
  bar.end();
  const killed = await (kill ?? killLeader(options, meter, startedMs));
  const newLeader = await cluster.leader({ signal });
  const figures = {
    rounds,
    killed,
    newLeader,
    failoverMs: meter.failoverMs ?? Number.NaN,
    standstillMs: meter.standstillMs,
    putsPerSecond: (ledger.counts.acknowledged / (tookMs - meter.standstillMs)) * 1000,
  };
  tellLoad(teller, ledger, figures);
  return figures;
}

function tellLoad(teller: Teller, ledger: Ledger, figures: LoadFigures): void {
  const { acknowledged, unknown, notApplied } = ledger.counts;
  teller.say(
    `  ${figures.newLeader} leads: first write acknowledged ${Math.round(figures.failoverMs)} ms after the kill; ` +
      `writes stood still for ${Math.round(figures.standstillMs)} ms`,
  );
  teller.say(
    `  ${count(acknowledged)} writes acknowledged in ${figures.rounds} rounds ` +
      `(${count(Math.round(figures.putsPerSecond))} puts/s outside the standstill), ` +
      `${count(unknown)} of unknown outcome, ${count(notApplied)} refused`,
  );
}

/** Somewhere in the middle of the load. */
function pickKillPoint(planned: number, random: Random): number {
  return Math.floor(planned * (0.4 + 0.2 * random.next()));
}

async function killLeader(
  options: StoryOptions,
  meter: FailoverMeter,
  startedMs: number,
): Promise<string> {
  const { cluster, teller, signal } = options;
  const leader = await cluster.waitForLeader({ signal });
  const { pid } = cluster.replica(leader.replica);
  const killedMs = performance.now();
  meter.killed(killedMs, leader.term);
  await cluster.kill(leader.replica);
  teller.say(
    `  killed the leader ${leader.replica} (pid ${pid}, term ${leader.term}) with SIGKILL ` +
      `${seconds(killedMs - startedMs)} after the start of the load`,
  );
  return leader.replica;
}

function checkProgress(cluster: LocalCluster, meter: FailoverMeter): void {
  for (const replica of cluster.replicas) replica.checkAlive();
  if (meter.idleMs(performance.now()) < IDLE_MS_MAX) return;
  throw new BalsaError('TIMEOUT', `no write was acknowledged for ${seconds(IDLE_MS_MAX)}`);
}

async function verifyOne(
  options: StoryOptions,
  ledger: Ledger,
  target: { readonly name: string; readonly revisionBefore: number },
): Promise<{ readonly versions: number; readonly findings: readonly Finding[] }> {
  const { cluster, teller, signal } = options;
  await using reader = await cluster.connectTo(target.name);
  const bar: ProgressBar = teller.startBar(
    `versions from ${target.name}`,
    ledger.counts.acknowledged,
  );
  const { versions, findings } = await verifyReplica(reader, ledger, {
    revisionBefore: target.revisionBefore,
    onRead: () => bar.step(),
    signal,
  });
  bar.end();
  const { role } = await cluster.status(target.name);
  teller.say(
    `  ${target.name} (${role}): ${count(versions)} versions read, ` +
      `${countFindings(findings, 'lost')} lost, ${countFindings(findings, 'duplicated')} duplicated, ` +
      `${countFindings(findings, 'different')} different`,
  );
  return {
    versions,
    findings: findings.map((found) => ({ ...found, replica: target.name })),
  };
}

/** @returns how long it took until the replica had all that the leader had at its restart */
async function restart(options: StoryOptions, name: string): Promise<number> {
  const { cluster, teller, signal } = options;
  const { appliedIndex } = await cluster.waitForLeader({ signal });
  const startedMs = performance.now();
  await cluster.start(name);
  await cluster.waitForApplied(appliedIndex, { signal });
  const tookMs = performance.now() - startedMs;
  teller.say();
  teller.say(
    `Restarted ${name} (pid ${cluster.replica(name).pid}): ` +
      `it had all through index ${count(appliedIndex)} after ${Math.round(tookMs)} ms`,
  );
  return tookMs;
}

async function equalReplicas(cluster: LocalCluster): Promise<ReplicaLine[]> {
  const statuses = await cluster.waitForEqual();
  return statuses.map((status) => ({
    replica: status.replica,
    address: cluster.replica(status.replica).address,
    role: status.role,
    term: status.term,
    commitIndex: status.commitIndex,
    appliedIndex: status.appliedIndex,
    revision: status.revision,
    stateHash: status.stateHash,
  }));
}
