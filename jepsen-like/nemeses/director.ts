import type { Client } from '../../src/client/client.js';
import { seededRandom } from '../../src/cluster/harness.js';
import type { System } from '../cluster/system.js';
import type { FaultLog } from '../run/fault-log.js';
import { sleep } from '../run/sleep.js';
import { type Claim, type Stage, shuffled } from './nemesis.js';
import type { Period, PlannedEpisode } from './schedule.js';

export interface DirectorOptions {
  readonly system: System;
  readonly faults: FaultLog;
  readonly db: Client;
  readonly signal: AbortSignal;
  /** See `RunOptions`. */
  readonly untilMs: number;
  /** Told before each period. */
  readonly onPeriod: (period: Period, index: number) => void;
}

/** Carries out what was planned, and mends everything between two periods. */
export class Director {
  /** How often each thing was done. */
  readonly injected = new Map<string, number>();
  /** Episodes that could not be carried out, since another one had what they need. */
  skipped = 0;
  /** What did not become whole again. */
  readonly problems: string[] = [];
  readonly #options: DirectorOptions;
  readonly #taken = new Set<string>();
  readonly #claimed = new Set<Claim>();
  readonly #endings: (() => void)[] = [];

  constructor(options: DirectorOptions) {
    this.#options = options;
  }

  async run(periods: readonly Period[]): Promise<void> {
    const { signal, system, untilMs, onPeriod } = this.#options;
    const begunMs = performance.now();
    for (const [index, period] of periods.entries()) {
      if (signal.aborted || performance.now() - begunMs >= untilMs) return;
      onPeriod(period, index);
      const episodes = period.episodes.map((episode) => this.#play(episode));
      await Promise.all([sleep(period.lengthMs, signal), ...episodes]);
      if (period.episodes.length === 0) continue;
      await system.mend();
      if (signal.aborted) return;
      const problem = await system.recovered();
      for (const end of this.#endings.splice(0)) end();
      if (problem === null) continue;
      // What is broken already shows nothing more.
      this.problems.push(problem);
      return;
    }
  }

  async #play({ nemesis, afterMs, holdMs, seed }: PlannedEpisode): Promise<void> {
    const { signal } = this.#options;
    await sleep(afterMs, signal);
    if (signal.aborted) return;
    const claims = nemesis.claims ?? [];
    if (claims.some((claim) => this.#claimed.has(claim))) {
      this.skipped += 1;
      return;
    }
    for (const claim of claims) this.#claimed.add(claim);
    const own = new Set<string>();
    try {
      await nemesis.episode(this.#stage(seed, holdMs, own));
    } finally {
      for (const claim of claims) this.#claimed.delete(claim);
      for (const name of own) this.#taken.delete(name);
    }
  }

  #stage(seed: number, holdMs: number, own: Set<string>): Stage {
    const { system, faults, db, signal } = this.#options;
    const random = seededRandom(seed);
    return {
      ...{ system, faults, db, signal, random, holdMs },
      sleep: (ms) => sleep(ms, signal),
      take: (count, preferred) => {
        const names = preferred ?? shuffled(random, system.names);
        const more = preferred === undefined ? [] : shuffled(random, system.names);
        const wanted = [...new Set([...names, ...more])].filter(
          (name) => system.running.includes(name) && !this.#taken.has(name),
        );
        const taken = wanted.slice(0, count);
        for (const name of taken) {
          this.#taken.add(name);
          own.add(name);
        }
        return taken;
      },
      count: (what) => {
        this.injected.set(what, (this.injected.get(what) ?? 0) + 1);
      },
      endsWithPeriod: (end) => this.#endings.push(end),
    };
  }
}
