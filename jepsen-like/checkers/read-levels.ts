import type { HistoryReader } from '../history/history-reader.js';
import { checkerByWatch } from './by-watch.js';
import { type Call, CallPairer } from './calls.js';
import type { Checker } from './checker.js';
import type { Findings } from './findings.js';
import { RevisionClock, type Told } from './revision-clock.js';
import { countBelow } from './sorted.js';
import { seconds, show } from './values.js';
import { hashValue, type WatchIndex } from './watch-index.js';

export interface LevelOptions {
  /** By how much more than stated a state may be old because a clock runs too slow, as a share. Default: 0. */
  readonly clockShare?: number;
}

/**
 * Each read against what its level claims.
 *
 * - every level: the value is what the key held at the revision that the answer names: so each is of a state that the store really had (a
 *   consistent prefix);
 * - `linearizable`: no lower revision than any answer had told before it began;
 * - `session`: no lower revision than the same process had been told before (monotonic reads, read your writes); a process that goes
 *   on under another number is another session here;
 * - `bounded:ms`: every write that was acknowledged, or shown by a linearizable read, `ms` before it began, or earlier;
 * - `at:revision`: the key as it was at exactly that revision;
 * - `stalenessMs` of an answer: as a bound, whatever the level is.
 */
export function levelChecker({ clockShare = 0 }: LevelOptions = {}): Checker {
  return checkerByWatch('read-levels', (findings, index, history) =>
    new LevelJudge(findings, index, clockShare).run(history),
  );
}

/** Which revision had been acknowledged by when. */
class Acknowledged {
  readonly #times: number[] = [];
  readonly #writes: Call[] = [];
  #highest = 0;

  add(call: Call, revision: number): void {
    if (revision <= this.#highest) return;
    this.#highest = revision;
    this.#times.push(call.end);
    this.#writes.push(call);
  }

  /** The highest one before this time. */
  before(time: number): Told {
    const by = this.#writes[countBelow(this.#times, time) - 1] ?? null;
    return { revision: by?.completion?.revision ?? 0, by };
  }
}

const READS: ReadonlySet<string> = new Set(['get', 'read']);
const WRITES: ReadonlySet<string> = new Set(['put', 'write', 'delete', 'cas', 'txn']);

class LevelJudge {
  readonly #findings: Findings;
  readonly #index: WatchIndex;
  readonly #clockShare: number;
  readonly #clock = new RevisionClock();
  readonly #acknowledged = new Acknowledged();
  readonly #sessions = new Map<number, Told>();
  readonly #counts = new Map<string, number>();
  /** Levels that were asked for. */
  readonly #asked = new Set<string>();
  #untold = 0;

  constructor(findings: Findings, index: WatchIndex, clockShare: number) {
    this.#findings = findings;
    this.#index = index;
    this.#clockShare = clockShare;
  }

  async run(history: HistoryReader) {
    const pairer = new CallPairer(history.source);
    for await (const operation of history) {
      if (operation.type === 'invoke') this.#clock.begin(operation);
      const call = pairer.take(operation);
      if (call !== null) this.#take(call);
    }
    for (const { level = 'linearizable', f } of pairer.rest().map(({ invoke }) => invoke)) {
      if (READS.has(f)) this.#asked.add(nameOf(level));
    }
    const counts = Object.fromEntries(this.#counts);
    const doubt = this.#doubt();
    const shown = `${this.#findings.operations} reads keep what their levels claim (${show(counts)})`;
    return this.#findings.verdict(shown, {
      doubt,
      details: { levels: counts, clockShare: this.#clockShare },
    });
  }

  #doubt(): string | null {
    if (this.#untold > 0) {
      return `${this.#untold} answers have no revision, or one behind the end of the watch`;
    }
    const unserved = [...this.#asked].filter((level) => !this.#counts.has(level));
    return unserved.length > 0 ? `no read was served at the level ${unserved.join(', ')}` : null;
  }

  #take(call: Call): void {
    const told = this.#clock.beganAfter(call);
    const revision = call.completion?.revision;
    const isRead = READS.has(call.f);
    if (isRead) this.#asked.add(nameOf(call.invoke.level ?? 'linearizable'));
    if (call.outcome !== 'ok' || call.f === 'event') return;
    if (!isRead && !WRITES.has(call.f)) return;
    if (isRead) this.#findings.operations += 1;
    if (revision === undefined || revision > this.#index.lastRevision) {
      this.#untold += 1;
      return;
    }
    if (isRead) this.#judgeRead(call, revision, told);
    const level = call.invoke.level ?? 'linearizable';
    // Whatever its level is, what an answer has told of is done.
    this.#clock.told(call, revision);
    // What a linearizable read has shown is as good as acknowledged.
    if (level === 'linearizable') this.#acknowledged.add(call, revision);
    const seen = this.#sessions.get(call.process);
    // A read in the past says nothing of what its session has seen of the present.
    if (!level.startsWith('at:') && revision > (seen?.revision ?? 0)) {
      this.#sessions.set(call.process, { revision, by: call });
    }
  }

  #judgeRead(call: Call, revision: number, told: Told): void {
    const level = call.invoke.level ?? 'linearizable';
    const name = nameOf(level);
    const bound = level.slice(name.length + 1);
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    const at = name === 'at' ? Number(bound) : revision;
    if (this.#index.hashAt(call.key, at) !== hashValue(call.answer)) {
      const text = `${level} read "${call.key}" as ${show(call.answer)}, which it did not hold at revision ${at}`;
      this.#findings.note('a state that never was', text, [call]);
    }
    if (name === 'linearizable') this.#atLeast(call, told, 'stale');
    if (name === 'session') {
      const seen = this.#sessions.get(call.process) ?? { revision: 0, by: null };
      this.#atLeast(call, seen, 'went back in its session');
    }
    if (name === 'bounded') this.#judgeAge(call, Number(bound), 'older than its bound');
    const { stalenessMs } = call.completion ?? {};
    if (stalenessMs !== undefined && name !== 'at') {
      this.#judgeAge(call, stalenessMs, 'older than it said');
    }
  }

  #judgeAge(call: Call, ageMs: number, anomaly: string): void {
    const since = call.begin - ageMs * 1e6 * (1 + this.#clockShare);
    this.#atLeast(call, this.#acknowledged.before(since), `${anomaly} of ${ageMs} ms`);
  }

  #atLeast(call: Call, { revision: least, by }: Told, anomaly: string): void {
    const revision = call.completion?.revision ?? 0;
    if (revision >= least || by === null) return;
    const text = `a read of "${call.key}" (${call.invoke.level ?? 'linearizable'}) from ${seconds(call.begin)} on saw revision ${revision}; revision ${least} had been told at ${seconds(by.end)}`;
    this.#findings.note(anomaly, text, [by, call]);
  }
}

/** Of a level, without its bound. */
function nameOf(level: string): string {
  return level.split(':')[0] ?? '';
}
