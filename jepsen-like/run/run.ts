import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BalsaError, type Client } from '../../src/client/client.js';
import { bundleProcedures, waitUntil } from '../../src/cluster/harness.js';
import type { Machine } from '../cluster/machine.js';
import { System } from '../cluster/system.js';
import { fileHistory } from '../history/file-history.js';
import { DATA_LOST } from '../history/operation.js';
import { Director } from '../nemeses/director.js';
import type { Nemesis } from '../nemeses/nemesis.js';
import type { Period } from '../nemeses/schedule.js';
import { proceduresFile } from '../workloads/procedures-file.js';
import type { Workload } from '../workloads/workload.js';
import { RunClock } from './clock.js';
import { Crew } from './crew.js';
import { FaultLog } from './fault-log.js';
import { FINAL_MS_MAX } from './final-read.js';
import { compareHeld, type HeldState, heldBy } from './held-states.js';
import { Observer } from './observer.js';
import { StoreWatch } from './store-watch.js';

export interface RunOptions {
  readonly workloads: readonly Workload[];
  readonly nemeses: readonly Nemesis[];
  readonly nodes: number;
  readonly network: 'proxies' | 'namespaces';
  /** What is done when; see `planPeriods`. */
  readonly periods: readonly Period[];
  /** No period begins later than so many milliseconds behind the first. */
  readonly untilMs: number;
  readonly seed: number;
  /** For histories and logs; made anew. */
  readonly folder: string;
  readonly machine: Machine;
  readonly signal: AbortSignal;
  /** Pauses of the clients are so many times as long. */
  readonly pace: number;
  /** Leaders read under a lease, without asking the others. */
  readonly leaseReads: boolean;
  readonly onProgress: (progress: Progress) => void;
  /** The compiled command of another replica. */
  readonly entry?: string | undefined;
}

export interface Progress {
  readonly phase: 'start' | 'load' | 'heal' | 'final reads';
  readonly atMs: number;
  readonly observer: Observer;
  readonly faults: FaultLog;
  /** Set when a period begins. */
  readonly period?: Period;
}

/** What a run left to be judged. */
export interface RunRecord {
  readonly options: RunOptions;
  readonly histories: readonly { readonly workload: Workload; readonly path: string }[];
  readonly watchPath: string;
  readonly faultsPath: string;
  readonly observer: Observer;
  readonly faults: FaultLog;
  readonly injected: ReadonlyMap<string, number>;
  readonly skipped: number;
  /** Names of nemeses that were asked for and have had no turn. */
  readonly withoutTurn: readonly string[];
  readonly events: number;
  readonly tookMs: number;
  readonly terms: number;
  /** What was wrong beside the histories: each is a violation. */
  readonly problems: readonly string[];
  readonly interrupted: boolean;
}

/** Longer than any fault. In a run of hours most of what was ever written would be in the way of those who look for what is there. */
const HISTORY_MS = 300_000;

/** Starts a cluster, lets clients and faults loose on it, mends it, and gathers what is needed for a verdict. */
export async function run(options: RunOptions): Promise<RunRecord> {
  const { folder, nemeses, nodes, machine, entry, network, leaseReads } = options;
  mkdirSync(join(folder, 'histories'), { recursive: true });
  const clocks = nemeses.some(({ needsClocks }) => needsClocks === true);
  const oldReplicas = startsOld(options);
  const system = await System.start({
    nodes,
    folder,
    machine,
    clocks,
    oldReplicas,
    network,
    leaseReads,
    entry,
  });
  const db = await system.cluster.connect({ timeoutMs: 20_000, clientName: 'jepsen-like' });
  const stage = new Running(options, system, db);
  try {
    return await stage.run();
  } finally {
    await stage.close();
  }
}

function startsOld({ nemeses }: RunOptions): boolean {
  return nemeses.some(({ needsOldReplicas }) => needsOldReplicas === true);
}

class Running {
  readonly #options: RunOptions;
  readonly #system: System;
  readonly #db: Client;
  readonly #clock = new RunClock();
  readonly #faults: FaultLog;
  readonly #observer: Observer;
  readonly #watch: StoreWatch;
  readonly #crews: readonly Crew[];
  readonly #ending = new AbortController();
  readonly #problems: string[] = [];
  readonly #end = (): void => this.#ending.abort();
  #isClosed = false;

  constructor(options: RunOptions, system: System, db: Client) {
    const { folder, seed, pace, workloads, signal } = options;
    this.#options = options;
    this.#system = system;
    this.#db = db;
    this.#faults = new FaultLog(join(folder, 'faults.jsonl'), this.#clock);
    this.#observer = new Observer(this.#clock, this.#faults);
    system.onLoss((name) => this.#faults.mark(DATA_LOST, [name]));
    this.#watch = new StoreWatch(db, join(folder, 'watch.jsonl'), this.#clock);
    const shared = {
      ...{ system, db, folder, pace, clock: this.#clock },
      ...{ observer: this.#observer, faults: this.#faults },
    };
    this.#crews = workloads.map(
      (workload, i) => new Crew({ ...shared, workload, seed: seed * 31 + i + 1 }),
    );
    if (signal.aborted) this.#ending.abort();
    else signal.addEventListener('abort', this.#end, { once: true });
  }

  async run(): Promise<RunRecord> {
    const director = new Director({
      ...{ system: this.#system, faults: this.#faults, db: this.#db },
      ...{ untilMs: this.#options.untilMs, nemeses: this.#options.nemeses },
      signal: this.#ending.signal,
      onPeriod: (period) => this.#tell('load', period),
      complaints: () => this.#complaints(),
    });
    await this.#prepare();
    const ticker = setInterval(() => this.#tell('load'), 250);
    let failure: unknown = null;
    const onFailure = (error: unknown): void => {
      failure ??= error;
      this.#ending.abort();
    };
    try {
      for (const crew of this.#crews) await crew.start(onFailure);
      await director.run(this.#options.periods);
      await Promise.all(this.#crews.map((crew) => crew.stop()));
    } finally {
      clearInterval(ticker);
    }
    if (failure !== null) throw failure;
    const isWhole = director.problems.length === 0;
    if (isWhole && !this.#options.signal.aborted) await this.#settle().catch(this.#isBroken);
    return this.#record(director);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.signal.removeEventListener('abort', this.#end);
    this.#ending.abort();
    await this.#system.mend().catch(() => {});
    await Promise.all(this.#crews.map((crew) => crew.close()));
    await this.#watch.close();
    await this.#db.close();
    this.#faults.close();
    const folders = this.#system.cluster.replicas.map(({ dataFolder }) => dataFolder);
    await this.#system[Symbol.asyncDispose]();
    // The logs stay; what the replicas stored is of use only when something is wrong with it.
    if (this.#problems.length > 0) return;
    for (const path of folders) rmSync(path, { recursive: true, force: true });
  }

  async #prepare(): Promise<void> {
    this.#tell('start');
    // Older replicas have no procedures, nor have workloads that go with them; nor can they be told how long to keep history.
    if (!startsOld(this.#options)) {
      await this.#db.procedures.deploy(await bundleProcedures(proceduresFile()), {
        timeoutMs: 60_000,
      });
      await this.#db.settings.set({ historyMs: HISTORY_MS });
    }
    for (const crew of this.#crews) await crew.prepare();
  }

  /** Everything is whole again, all replicas hold the same, and the watch has seen all of it. */
  async #settle(): Promise<void> {
    this.#tell('heal');
    const system = this.#system;
    await system.mend();
    const problem = await system.recovered();
    this.#problems.push(...(problem === null ? await this.#complaints() : [problem]));
    this.#tell('final reads');
    for (const crew of this.#crews) await crew.finish();
    const { revision } = await this.#db.info({ timeoutMs: FINAL_MS_MAX });
    this.#problems.push(...(await this.#watched(revision)));
    await this.#compareStates();
  }

  /** What clients complain of although all is whole: those at each site are served, and the watch of the store goes on. */
  async #complaints(): Promise<readonly string[]> {
    const { signal } = this.#ending;
    const all = await Promise.all(this.#crews.map((crew) => crew.service(signal)));
    const complaints = all.flatMap((one) => one.complaints);
    if (signal.aborted) return [];
    return [
      ...complaints,
      ...(await this.#watched(Math.max(...all.map(({ revision }) => revision)))),
    ];
  }

  /** Waits until the watch of the store has told all through a revision. @returns why it does not */
  async #watched(revision: number): Promise<readonly string[]> {
    const isOver = (): boolean =>
      this.#watch.revision >= revision ||
      this.#watch.failure !== null ||
      this.#ending.signal.aborted;
    const late = await waitUntil(
      `the watch to reach revision ${revision}`,
      async () => (isOver() ? null : undefined),
      { timeoutMs: FINAL_MS_MAX },
    ).catch((error: Error) => error.message);
    const { failure } = this.#watch;
    return [...(late === null ? [] : [late]), ...(failure === null ? [] : [`watch: ${failure}`])];
  }

  /** A cluster that is whole again answers; one that does not is not. */
  readonly #isBroken = (error: unknown): void => {
    if (!(error instanceof BalsaError)) throw error;
    this.#problems.push(`in the end, when all was mended: ${error.code}: ${error.message}`);
  };

  async #compareStates(): Promise<void> {
    try {
      const statuses = await this.#system.cluster.waitForEqual({ timeoutMs: FINAL_MS_MAX });
      const hashes = new Set(statuses.map(({ stateHash }) => stateHash));
      if (hashes.size > 1) {
        const all = statuses.map(({ replica, stateHash }) => `${replica} ${stateHash}`).join(', ');
        this.#problems.push(`the replicas hold different states: ${all}`);
      }
      await this.#compareHeld(Math.min(...statuses.map(({ revision }) => revision)));
    } catch (error) {
      this.#problems.push(`the states of the replicas could not be compared: ${String(error)}`);
    }
  }

  /** Their hashes tell what was written, and not what has become of it. */
  async #compareHeld(revision: number): Promise<void> {
    const { cluster } = this.#system;
    const states: HeldState[] = [];
    for (const { name } of cluster.replicas) {
      await using db = await cluster.connectTo(name, { timeoutMs: FINAL_MS_MAX });
      states.push(await heldBy(name, db, { revision, timeoutMs: FINAL_MS_MAX }));
    }
    this.#problems.push(...(await this.#watched(revision)));
    this.#watch.flush();
    const watch = fileHistory(this.#watch.path);
    this.#problems.push(...(await compareHeld(states, { watch, revision })));
  }

  async #record(director: Director): Promise<RunRecord> {
    const statuses = await this.#system.cluster.statuses();
    this.#system.noteEnds();
    for (const { name, how, log } of this.#system.strangeEnds) {
      this.#problems.push(`replica ${name} ended by itself (${how}):\n${log}`);
    }
    this.#problems.push(...director.problems, ...director.mishaps);
    this.#problems.push(...director.idle, ...director.turnless);
    this.#problems.push(...this.#system.workers.strangeEnds);
    this.#problems.push(...this.#crews.flatMap(({ problems }) => problems));
    const record = {
      options: this.#options,
      histories: this.#crews.map(({ workload, recorder }) => ({ workload, path: recorder.path })),
      watchPath: this.#watch.path,
      faultsPath: join(this.#options.folder, 'faults.jsonl'),
      observer: this.#observer,
      faults: this.#faults,
      injected: new Map([...director.injected, ...this.#crews.flatMap(({ told }) => [...told])]),
      skipped: director.skipped,
      withoutTurn: director.withoutTurn,
      events: this.#watch.events,
      tookMs: this.#clock.now() / 1e6,
      terms: Math.max(0, ...statuses.map(({ term }) => term)),
      problems: this.#problems,
      interrupted: this.#options.signal.aborted,
    };
    await this.close();
    return record;
  }

  #tell(phase: Progress['phase'], period?: Period): void {
    const { onProgress } = this.#options;
    const atMs = this.#clock.now() / 1e6;
    const common = { phase, atMs, observer: this.#observer, faults: this.#faults };
    onProgress(period === undefined ? common : { ...common, period });
  }
}
