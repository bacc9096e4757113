import type { Limits } from '../base/limits.js';
import type { LogIndex } from '../raft/types.js';
import type { LogMeter } from './log-meter.js';

/** Less than this share of a bound is not worth the work. */
const GAIN_SHARE = 1 / 8;

export interface CompactionFacts {
  /** The log begins behind this place. */
  readonly startIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly meter: LogMeter;
  /** Followers that get the log from here need what is behind these places: kept up to a bound. */
  readonly pins: readonly LogIndex[];
  /** Never beyond this. */
  readonly hardPin: LogIndex;
  readonly limits: Pick<
    Limits,
    'logBytesMax' | 'logEntriesMax' | 'logTrailingEntries' | 'logPinnedBytesMax'
  >;
}

/** Has the log grown beyond its bounds? Cheap: asked after each turn. */
export function isCompactionDue(facts: Omit<CompactionFacts, 'pins' | 'hardPin'>): boolean {
  const { startIndex, lastIndex, meter, limits } = facts;
  if (lastIndex - startIndex > limits.logEntriesMax) return true;
  return meter.bytesBehind(startIndex) > limits.logBytesMax;
}

/**
 * Through where the log should be cut; `null`: it stays as it is. Behind that place stay the trailing
 * entries, but no more than half of what is allowed: otherwise it would soon be due again.
 */
export function compactionTarget(facts: CompactionFacts): LogIndex | null {
  if (!isCompactionDue(facts)) return null;
  const { startIndex, appliedIndex, meter, limits } = facts;
  const target = Math.min(withoutPins(facts), facts.hardPin, lowestPin(facts));
  const entries = target - startIndex;
  if (entries <= 0 || target > appliedIndex) return null;
  const bytes = meter.bytesBehind(startIndex) - meter.bytesBehind(target);
  const isWorth =
    entries >= limits.logEntriesMax * GAIN_SHARE || bytes >= limits.logBytesMax * GAIN_SHARE;
  return isWorth ? target : null;
}

function withoutPins({ lastIndex, appliedIndex, meter, limits }: CompactionFacts): LogIndex {
  const { logTrailingEntries, logEntriesMax, logBytesMax } = limits;
  const trailing = Math.min(logTrailingEntries, Math.floor(logEntriesMax / 2));
  const byCount = Math.min(appliedIndex, lastIndex - trailing);
  return Math.min(appliedIndex, Math.max(byCount, meter.placeWithBehind(logBytesMax / 2)));
}

/** A pin counts while what it holds fits its bound; what is gone already cannot be kept. */
function lowestPin({ startIndex, pins, meter, limits }: CompactionFacts): LogIndex {
  let lowest = Number.POSITIVE_INFINITY;
  for (const pin of pins) {
    const counts = pin >= startIndex && meter.bytesBehind(pin) <= limits.logPinnedBytesMax;
    if (counts) lowest = Math.min(lowest, pin);
  }
  return lowest;
}
