import fc from 'fast-check';
import { drawSchedule, type Schedule, schedules } from './schedule.js';
import { simulate } from './simulate.js';
import { drawOptions, type SimulationOptions } from './swarm.js';

export interface Shrunk {
  readonly schedule: Schedule;
  readonly violation: string;
  /** Of the schedule that belongs to the seed. */
  readonly faultsBefore: number;
  /** Schedules that were tried. */
  readonly runs: number;
  /** False: the time was up, and a smaller one may exist. */
  readonly finished: boolean;
}

export interface ShrinkOptions {
  readonly timeLimitMs: number;
  /** Told of each smaller schedule. */
  readonly onSmaller?: (schedule: Schedule, violation: string) => void;
  /** What a run with this schedule violates; `null`: nothing. Default: {@link simulate}. */
  readonly run?: (schedule: Schedule) => Promise<string | null>;
  /** Default: the clock of this machine. */
  readonly nowMs?: () => number;
}

/**
 * The smallest schedule found with which the seed still breaks the same promise; `null`: it breaks none.
 * Faults are left out, many at a time: fast-check would leave out few, for runs that take a second each.
 * fast-check makes those that are left simpler: earlier, shorter, fewer times, at another machine.
 */
export async function shrink(seed: number, options: ShrinkOptions): Promise<Shrunk | null> {
  const drawn = drawOptions(seed);
  const run =
    options.run ??
    (async (schedule) => (await simulate({ seed, options: drawn, schedule })).violation);
  // Faults are planned, so the order in the list counts only for those of one moment.
  const whole = drawSchedule(drawn).toSorted((a, b) => a.atMs - b.atMs);
  const search = new Search({ ...options, run });
  if (!(await search.begin(whole))) return null;
  let faults: number;
  do {
    await search.leaveOut();
    faults = search.schedule.length;
    await search.simplify(drawn);
    // A run that is simpler may need fewer faults.
    await search.leaveOut();
  } while (search.schedule.length < faults);
  const { schedule, violation, runs, finished } = search;
  return { schedule, violation, faultsBefore: whole.length, runs, finished };
}

class Search {
  readonly #run: (schedule: Schedule) => Promise<string | null>;
  readonly #onSmaller: (schedule: Schedule, violation: string) => void;
  readonly #nowMs: () => number;
  readonly #endMs: number;
  /** As text. */
  readonly #tried = new Set<string>();
  schedule: Schedule = [];
  violation = '';
  runs = 0;
  finished = true;

  constructor(options: ShrinkOptions & Required<Pick<ShrinkOptions, 'run'>>) {
    this.#run = options.run;
    this.#onSmaller = options.onSmaller ?? (() => {});
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#endMs = this.#nowMs() + options.timeLimitMs;
  }

  /** Does it fail at all? */
  async begin(schedule: Schedule): Promise<boolean> {
    this.runs += 1;
    const violation = await this.#run(schedule);
    if (violation === null) return false;
    this.schedule = schedule;
    this.violation = violation;
    return true;
  }

  /**
   * Until no fault can be left out: of halves, then quarters, and so on to single faults, each alone
   * and then each left out ("delta debugging").
   */
  async leaveOut(): Promise<void> {
    let size = this.schedule.length;
    while (size >= 1 && !this.#isOver()) {
      const before = this.schedule.length;
      if (size < before) await this.#keepOne(size);
      if (this.schedule.length < before) {
        size = Math.ceil(this.schedule.length / 2);
        continue;
      }
      await this.#leaveOutEach(size);
      // What was needed together with another fault may be needed no more.
      if (size === 1 && this.schedule.length === before) return;
      size = Math.ceil(size / 2);
    }
  }

  async #keepOne(size: number): Promise<void> {
    for (let end = this.schedule.length; end > 0 && !this.#isOver(); end -= size) {
      const part = this.schedule.slice(Math.max(0, end - size), end);
      if (await this.#try(part)) return;
    }
  }

  async #leaveOutEach(size: number): Promise<void> {
    // What came last is most likely not needed.
    for (let end = this.schedule.length; end > 0 && !this.#isOver(); end -= size) {
      const before = this.schedule.slice(0, Math.max(0, end - size));
      await this.#try([...before, ...this.schedule.slice(end)]);
    }
  }

  /** No more and no fewer faults, and each of them simpler. */
  async simplify(options: SimulationOptions): Promise<void> {
    const known = this.schedule;
    let isKnown = true;
    const ofLength = schedules(options, { length: known.length });
    const property = fc.asyncProperty(ofLength, async (candidate) => {
      // fast-check begins with the example.
      if (isKnown) {
        isKnown = false;
        return false;
      }
      return this.#isOver() || !(await this.#try(candidate));
    });
    await fc.check(property, { examples: [[known]], numRuns: 1 });
  }

  /** Takes the schedule when it breaks the same promise. */
  async #try(schedule: Schedule): Promise<boolean> {
    const text = JSON.stringify(schedule);
    if (this.#tried.has(text)) return false;
    this.#tried.add(text);
    this.runs += 1;
    const violation = await this.#run(schedule);
    if (violation === null || promiseOf(violation) !== promiseOf(this.violation)) return false;
    this.schedule = schedule;
    this.violation = violation;
    this.#onSmaller(schedule, violation);
    return true;
  }

  #isOver(): boolean {
    if (this.#nowMs() < this.#endMs) return false;
    this.finished = false;
    return true;
  }
}

/** `State Hash: n1.1 differs behind entry 48` is about `State Hash`. */
function promiseOf(violation: string): string {
  return violation.split(':', 1)[0] ?? violation;
}
