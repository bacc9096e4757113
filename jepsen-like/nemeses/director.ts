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

/** What came of one episode. */
interface Tally {
  counted: number;
  /** What could not be done. */
  readonly missed: string[];
}

/** What came of all episodes of a nemesis. */
interface Turns {
  taken: number;
  /** Those that did harm. */
  harmful: number;
  readonly missed: Set<string>;
}

/** Once or twice there may have been nobody whom it could hit. */
const IDLE_TURNS = 3;

/** Carries out what was planned, and mends everything between two periods. */
export class Director {
  /** How often each thing was done. */
  readonly injected = new Map<string, number>();
  /** Episodes that could not be carried out, since another one had what they need. */
  skipped = 0;
  /** What did not become whole again. */
  readonly problems: string[] = [];
  /** By name of a nemesis: what came of its episodes. */
  readonly #turns = new Map<string, Turns>();
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
    const tally: Tally = { counted: 0, missed: [] };
    try {
      await nemesis.episode(this.#stage(seed, holdMs, own, tally));
      // One that was ended early may not have come to it.
      if (!signal.aborted) this.#note(nemesis.name, tally);
    } finally {
      for (const claim of claims) this.#claimed.delete(claim);
      for (const name of own) this.#taken.delete(name);
    }
  }

  /** Nemeses that had their turn again and again, and never did any harm: what is shown then is not shown. */
  get idle(): string[] {
    return [...this.#turns].flatMap(([name, { taken, harmful, missed }]) => {
      if (taken < IDLE_TURNS || harmful > 0) return [];
      const why = missed.size === 0 ? '' : ` (${[...missed].join(', ')})`;
      return [`nemesis ${name} had its turn ${taken} times and did nothing${why}`];
    });
  }

  #note(name: string, { counted, missed }: Tally): void {
    const turns = this.#turns.get(name) ?? { taken: 0, harmful: 0, missed: new Set() };
    this.#turns.set(name, turns);
    turns.taken += 1;
    // That a fault is on was counted as well.
    if (counted > (missed.length > 0 ? 1 : 0)) turns.harmful += 1;
    for (const what of missed) turns.missed.add(what);
  }

  #stage(seed: number, holdMs: number, own: Set<string>, tally: Tally): Stage {
    const { system, faults, db, signal } = this.#options;
    const random = seededRandom(seed);
    const add = (what: string): void => {
      this.injected.set(what, (this.injected.get(what) ?? 0) + 1);
    };
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
        tally.counted += 1;
        add(what);
      },
      missed: (what) => {
        tally.missed.push(what);
        add(what);
      },
      endsWithPeriod: (end) => this.#endings.push(end),
    };
  }
}
