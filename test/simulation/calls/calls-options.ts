import { LIMITS } from '../../../src/base/limits.js';
import { type Random, seededRandom } from '../../../src/base/random.js';
import type { ExecutorSpeed } from '../native-executor.js';
import type { WatcherOptions } from '../watcher-options.js';

/** How much is remembered of calls and of code; small, so that some is forgotten. */
export interface CallBounds {
  readonly callKeptMs: number;
  readonly callsKeptMax: number;
  readonly namedCallKeptMs: number;
  readonly namedCallsMax: number;
  readonly aliasHistoryMax: number;
}

export interface CallsOptions {
  readonly bounds: CallBounds;
  readonly speed: ExecutorSpeed;
  /** Longest pause of a caller between two groups of calls. */
  readonly pauseMs: number;
  /** Most calls at once of one caller. */
  readonly burst: number;
}

/** With which seeds there are calls: the others cost what they did. */
export function hasCalls(seed: number): boolean {
  return seed % 4 === 3;
}

export function drawCalls(seed: number): CallsOptions {
  const random = seededRandom(seed * 2 + 0xca115);
  return {
    bounds: {
      callKeptMs: pick(random, [LIMITS.callKeptMs, 3000, 300]),
      callsKeptMax: pick(random, [LIMITS.callsKeptMax, LIMITS.callsKeptMax, 8]),
      namedCallKeptMs: pick(random, [LIMITS.namedCallKeptMs, LIMITS.namedCallKeptMs, 5000]),
      namedCallsMax: pick(random, [LIMITS.namedCallsMax, LIMITS.namedCallsMax, 12]),
      aliasHistoryMax: pick(random, [LIMITS.aliasHistoryMax, 3]),
    },
    speed: {
      usualMs: pick(random, [2, 6, 25]),
      longMs: pick(random, [60, 300, 1000]),
    },
    pauseMs: pick(random, [6000, 10_000, 14_000]),
    burst: pick(random, [2, 3, 6]),
  };
}

/** Is told each event of a call that was applied. */
export function drawEventWatcher(seed: number, disturbedMs: number): WatcherOptions {
  const random = seededRandom(seed * 2 + 0xe7e27);
  return {
    prefix: pick(random, ['_events/', '_events/', '_events/done/', '_events/tick/']),
    isKey: false,
    afterMs: random.next() * disturbedMs * pick(random, [0, 0, 0.5]),
    back: pick(random, [null, 0, 1000]),
    only: pick(random, [undefined, 'puts']),
    withPrevious: random.int(2) === 0,
    consistency: pick(random, ['linearizable', 'any'] as const),
    place: random.int(2) === 0 ? null : random.int(5),
    thinkMs: pick(random, [0, 200]),
    bufferBytesMax: 4 * 1024 * 1024,
  };
}

function pick<T>(random: Random, from: readonly T[]): T {
  return from[random.int(from.length)] as T;
}
