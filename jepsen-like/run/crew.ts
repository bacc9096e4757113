import { join } from 'node:path';
import type { Client } from '../../src/client/client.js';
import { type Random, seededRandom } from '../../src/cluster/harness.js';
import { SITES, type System } from '../cluster/system.js';
import type { Bench, Workload } from '../workloads/workload.js';
import type { RunClock } from './clock.js';
import type { FaultLog } from './fault-log.js';
import { FINAL_MS_MAX, finalRead } from './final-read.js';
import type { Observer } from './observer.js';
import { Recorder } from './recorder.js';
import { lackOfService } from './service.js';
import { sleep } from './sleep.js';

/** Shorter than the time of most faults, so that a client goes on asking while they last. */
const CALL_TIMEOUT_MS = 3000;
/** Of clients whose calls only a replica that stands still can keep waiting. */
const LONG_CALL_TIMEOUT_MS = 10_000;
const PAUSE_MS = 15;

export interface CrewOptions {
  readonly workload: Workload;
  readonly system: System;
  readonly db: Client;
  readonly folder: string;
  readonly clock: RunClock;
  readonly observer: Observer;
  readonly faults: FaultLog;
  readonly seed: number;
  /** Pauses are so many times as long. */
  readonly pace: number;
}

/** All processes of one workload, with its history. */
export class Crew {
  readonly workload: Workload;
  readonly recorder: Recorder;
  /** How often there was what the workload tells of. */
  readonly told = new Map<string, number>();
  readonly problems: string[] = [];
  readonly #options: CrewOptions;
  readonly #bench: Bench;
  readonly #stopping = new AbortController();
  readonly #clients: Client[] = [];
  readonly #bySite = new Map<string, Client>();
  #asked = 0;
  readonly #loops: Promise<void>[] = [];
  #fresh = 0;

  constructor(options: CrewOptions) {
    const { workload, folder, clock, observer, system, db, seed } = options;
    this.workload = workload;
    this.#options = options;
    const path = join(folder, 'histories', `${workload.name}.jsonl`);
    this.recorder = new Recorder({ path, workload: workload.name, clock, observer });
    this.#bench = {
      ...{ system, db, recorder: this.recorder },
      random: seededRandom(seed),
      stopping: this.#stopping.signal,
      shared: new Map(),
      fresh: () => {
        this.#fresh += 1;
        return this.#fresh;
      },
      process: () => this.recorder.process(),
      connect: (site, replica) => this.#connect(site, replica),
      connectTo: (replica) => this.#connectTo(replica),
      finalMs: FINAL_MS_MAX,
      final: (question, call, more) => finalRead(this.recorder.process(), question, call, more),
      processAt: (replica) => this.recorder.process(() => system.sideOf(replica)),
      sleep: (ms) => sleep(ms, this.#stopping.signal),
      tell: (what, count) => this.told.set(what, count),
      wrong: (what) => this.problems.push(`${workload.name}: ${what}`),
    };
  }

  async prepare(): Promise<void> {
    await this.workload.prepare?.(this.#bench);
  }

  /** @param onFailure of the harness: nothing that a cluster does leads there */
  async start(onFailure: (error: unknown) => void): Promise<void> {
    const { workload, system, seed, pace } = this.#options;
    const bySite = this.#bySite;
    for (const site of SITES) bySite.set(site, await this.#connect(site));
    for (let index = 0; index < workload.processes; index += 1) {
      const site = SITES[index % SITES.length] ?? 'east';
      const db = bySite.get(site);
      if (db === undefined) continue;
      const random = seededRandom(seed * 1000 + index);
      const log = this.recorder.process(() => system.sideOf(site));
      const step = await workload.start(this.#bench, { db, log, random, index, site });
      const pauseMs = (workload.pauseMs ?? PAUSE_MS) * pace;
      this.#loops.push(this.#loop(step, pauseMs, random).catch(onFailure));
    }
  }

  /**
   * Whether the clients that have lived through the faults are served.
   * @returns what is wrong, and at which revision the last write was
   */
  async service(signal: AbortSignal): Promise<{ complaints: readonly string[]; revision: number }> {
    const { workload, clock, faults } = this.#options;
    this.#asked += 1;
    let revision = 0;
    const asked = [...this.#bySite].map(([site, db]) => {
      const begunNs = clock.now();
      return lackOfService(db, {
        ...{ key: `service/${workload.name}/${site}`, value: `${this.#asked}`, signal },
        withinMs: FINAL_MS_MAX,
        onWritten: (at) => {
          revision = Math.max(revision, at);
          faults.served(begunNs, clock.now());
        },
      });
    });
    const complaints = (await Promise.all(asked)).filter((complaint) => complaint !== null);
    return { complaints, revision };
  }

  /** Lets each process end what it is at. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#loops);
  }

  async finish(): Promise<void> {
    await this.workload.finish?.(this.#bench);
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#clients.map((client) => client.close()));
    await Promise.all(this.#loops);
    this.recorder.close();
  }

  async #loop(step: () => Promise<void>, pauseMs: number, random: Random): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await step();
      // As long as it comes: exponentially distributed.
      await sleep(-Math.log(1 - random.next()) * pauseMs, signal);
    }
  }

  async #connectTo(replica: string): Promise<Client> {
    const { cluster } = this.#options.system;
    const client = await cluster.connectTo(replica, { timeoutMs: LONG_CALL_TIMEOUT_MS });
    this.#clients.push(client);
    return client;
  }

  async #connect(site: string, replica?: string): Promise<Client> {
    const { system } = this.#options;
    const options = { timeoutMs: CALL_TIMEOUT_MS, ...(replica === undefined ? {} : { replica }) };
    const client = await system.connectFrom(site, options);
    this.#clients.push(client);
    return client;
  }
}
