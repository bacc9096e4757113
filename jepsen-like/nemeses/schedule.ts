import { type Random, seededRandom } from '../../src/cluster/harness.js';
import { type Nemesis, shuffled } from './nemesis.js';

/** One time of harm, or of peace. */
export interface Period {
  readonly lengthMs: number;
  /** Empty: no faults. */
  readonly episodes: readonly PlannedEpisode[];
}

export interface PlannedEpisode {
  readonly nemesis: Nemesis;
  /** From the begin of the period. */
  readonly afterMs: number;
  readonly holdMs: number;
  readonly seed: number;
}

const PERIOD_MS_MIN = 5000;
const PERIOD_MS_MAX = 12_000;
export const AT_ONCE_MAX = 3;
/** A quarter of the periods is free of faults. */
const PEACE = 4;

/**
 * What is done when: a function of the seed. Whom it hits is decided when it is done, by who leads then. Each nemesis gets
 * its turn before any has its second.
 */
export function planPeriods(options: {
  readonly seed: number;
  readonly nemeses: readonly Nemesis[];
  readonly totalMs: number;
}): Period[] {
  const { nemeses, totalMs } = options;
  const random = seededRandom(options.seed);
  const periods: Period[] = [];
  let turns: Nemesis[] = [];
  for (let atMs = 0; atMs < totalMs; ) {
    const lengthMs = Math.min(
      PERIOD_MS_MIN + random.int(PERIOD_MS_MAX - PERIOD_MS_MIN),
      Math.max(1, totalMs - atMs),
    );
    atMs += lengthMs;
    const isPeace = nemeses.length === 0 || random.int(PEACE) === 0;
    const count = isPeace ? 0 : Math.min(1 + random.int(AT_ONCE_MAX), nemeses.length);
    const chosen = Array.from({ length: count }, () => {
      if (turns.length === 0) turns = shuffled(random, nemeses);
      return turns.shift() as Nemesis;
    });
    const episodes = [...new Set(chosen)].map((nemesis) => draw(random, nemesis, lengthMs));
    periods.push({ lengthMs, episodes });
  }
  return periods;
}

const CYCLE_MS = 1200;

/** So many periods with one episode each, one nemesis after the other, and as little as can be between them. */
export function planCycles(options: {
  readonly seed: number;
  readonly nemeses: readonly Nemesis[];
  readonly cycles: number;
  /** How long each fault lasts. Default: 1200. */
  readonly holdMs?: number;
}): Period[] {
  const { nemeses, cycles, holdMs = CYCLE_MS } = options;
  const random = seededRandom(options.seed);
  const peace: Period = { lengthMs: holdMs, episodes: [] };
  const periods = Array.from({ length: cycles }, (_, i): Period => {
    const nemesis = nemeses[i % nemeses.length];
    if (nemesis === undefined) return { lengthMs: CYCLE_MS, episodes: [] };
    const afterMs = 200 + random.int(800);
    const episode = { nemesis, afterMs, holdMs, seed: random.int(2 ** 31) };
    return { lengthMs: holdMs, episodes: [episode] };
  });
  // Something must be there to be lost.
  return [peace, ...periods];
}

function draw(random: Random, nemesis: Nemesis, lengthMs: number): PlannedEpisode {
  const afterMs = random.int(Math.ceil(lengthMs / 3));
  const holdMs = Math.max(500, Math.floor((lengthMs - afterMs) * (0.3 + random.next() * 0.5)));
  return { nemesis, afterMs, holdMs, seed: random.int(2 ** 31) };
}

/** One line each, for people. */
export function describePlan(periods: readonly Period[]): string[] {
  let atMs = 0;
  return periods.map(({ lengthMs, episodes }) => {
    const from = (atMs / 1000).toFixed(1);
    atMs += lengthMs;
    const what = episodes.map(({ nemesis, afterMs, holdMs }) => {
      return `${nemesis.name} (+${(afterMs / 1000).toFixed(1)} s, ${(holdMs / 1000).toFixed(1)} s)`;
    });
    return `${from.padStart(7)} s  ${what.length === 0 ? 'no faults' : what.join(', ')}`;
  });
}
