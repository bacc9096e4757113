import type { Client } from '../../src/client/client.js';
import { seededRandom } from '../../src/cluster/harness.js';
import type { System } from '../cluster/system.js';
import type { FaultLog } from '../run/fault-log.js';
import { sleep } from '../run/sleep.js';
import { type Claim, type Nemesis, type Stage, shuffled } from './nemesis.js';
import { AT_ONCE_MAX, type Period, type PlannedEpisode } from './schedule.js';

export interface DirectorOptions {
  readonly system: System;
  readonly faults: FaultLog;
  readonly db: Client;
  /** Those that were asked for. */
  readonly nemeses: readonly Nemesis[];
  readonly signal: AbortSignal;
  /** See `RunOptions`. */
  readonly untilMs: number;
  /** Told before each period. */
  readonly onPeriod: (period: Period, index: number) => void;
  /** Asked when all is whole again: what clients complain of nevertheless. */
  readonly complaints: () => Promise<readonly string[]>;
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
  /** What did not become whole again. */
  readonly problems: string[] = [];
  /** What went wrong within an episode. */
  readonly mishaps: string[] = [];
  /** By name of a nemesis: what came of its episodes. */
  readonly #turns = new Map<string, Turns>();
  /** Names of nemeses that were planned in the periods that have begun, and of those that have had a turn. */
  readonly #planned = new Set<string>();
  readonly #begun = new Set<string>();
  /** Episodes that could not be carried out, since another one had what they need: they come again. */
  readonly #put: PlannedEpisode[] = [];
  readonly #options: DirectorOptions;
  readonly #taken = new Set<string>();
  readonly #claimed = new Set<Claim>();
  readonly #endings: (() => void)[] = [];

  constructor(options: DirectorOptions) {
    this.#options = options;
  }

  async run(periods: readonly Period[]): Promise<void> {
    const { signal, untilMs } = this.#options;
    const begunMs = performance.now();
    for (const [index, period] of periods.entries()) {
      if (signal.aborted || performance.now() - begunMs >= untilMs) break;
      const episodes = [...period.episodes, ...this.#fitting(period.episodes)];
      for (const { nemesis } of episodes) this.#planned.add(nemesis.name);
      if (!(await this.#conduct({ ...period, episodes }, index))) return;
    }
    if (!this.#isLongEnough) return;
    // One after the other, so that nothing is in their way.
    for (const [index, episode] of [...this.#put].entries()) {
      if (this.#begun.has(episode.nemesis.name)) continue;
      this.#put.splice(this.#put.indexOf(episode), 1);
      const period = { lengthMs: episode.holdMs, episodes: [episode] };
      if (signal.aborted || !(await this.#conduct(period, periods.length + index))) return;
    }
  }

  /** Of those that were put back such as do not get in the way of what is planned. */
  #fitting(planned: readonly PlannedEpisode[]): PlannedEpisode[] {
    if (planned.length === 0) return [];
    const fitting: PlannedEpisode[] = [];
    for (const episode of [...this.#put]) {
      const others = [...planned, ...fitting];
      if (others.length >= AT_ONCE_MAX) break;
      if (others.some((other) => collide(other.nemesis, episode.nemesis))) continue;
      fitting.push(episode);
      this.#put.splice(this.#put.indexOf(episode), 1);
    }
    return fitting;
  }

  /** @returns whether it goes on */
  async #conduct(period: Period, index: number): Promise<boolean> {
    const { signal, system, onPeriod, complaints } = this.#options;
    onPeriod(period, index);
    const episodes = period.episodes.map((episode) => this.#play(episode));
    await Promise.all([sleep(period.lengthMs, signal), ...episodes]);
    if (period.episodes.length === 0) return true;
    await system.mend();
    if (signal.aborted) return false;
    const problem = await system.recovered();
    for (const end of this.#endings.splice(0)) end();
    this.problems.push(...(problem === null ? await complaints() : [problem]));
    // What is broken already shows nothing more.
    return this.problems.length === 0;
  }

  /** Episodes that could not be carried out. */
  get skipped(): number {
    return this.#put.length;
  }

  /** Names of those that were asked for, and have had no turn. */
  get withoutTurn(): string[] {
    return this.#options.nemeses.map(({ name }) => name).filter((name) => !this.#begun.has(name));
  }

  get #isLongEnough(): boolean {
    return this.#options.nemeses.every(({ name }) => this.#planned.has(name));
  }

  /** That some have had no turn although the run was long enough for all. */
  get turnless(): string[] {
    const { signal } = this.#options;
    if (signal.aborted || this.problems.length > 0 || !this.#isLongEnough) return [];
    return this.withoutTurn.map((name) => `nemesis ${name} was asked for, and had no turn`);
  }

  async #play(episode: PlannedEpisode): Promise<void> {
    const { nemesis, afterMs, holdMs, seed } = episode;
    const { signal } = this.#options;
    await sleep(afterMs, signal);
    if (signal.aborted) return;
    const claims = nemesis.claims ?? [];
    if (claims.some((claim) => this.#claimed.has(claim))) {
      this.#put.push(episode);
      return;
    }
    this.#begun.add(nemesis.name);
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
      note: add,
      missed: (what) => {
        tally.missed.push(what);
        add(what);
      },
      wrong: (what) => this.mishaps.push(what),
      endsWithPeriod: (end) => this.#endings.push(end),
    };
  }
}

function collide(one: Nemesis, other: Nemesis): boolean {
  return one === other || (one.claims ?? []).some((claim) => other.claims?.includes(claim));
}
