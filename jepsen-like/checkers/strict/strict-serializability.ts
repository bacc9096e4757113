import type { HistoryReader } from '../../history/history-reader.js';
import { checkerByWatch } from '../by-watch.js';
import { type Call, CallPairer } from '../calls.js';
import type { Checker, Verdict } from '../checker.js';
import type { Findings } from '../findings.js';
import { RevisionClock, type Told } from '../revision-clock.js';
import { seconds, show } from '../values.js';
import { ABSENT, type WatchIndex } from '../watch-index.js';
import { type Effects, effectsOf } from './effects.js';
import { UnknownWrites } from './unknown-writes.js';

/**
 * Strict serializability of everything that names its revision. The store says itself in which order things happened: a write made
 * its revision, a read is of the state at its. So no order needs to be searched for; it remains to be shown that this order
 * explains every answer and keeps real time:
 *
 * - each acknowledged write is in the watch, at its revision, with its value, and neither is another's;
 * - each read gives what the watch says that the key held at its revision;
 * - what began when another one had ended has no lower revision, and a higher one if it wrote;
 * - each event on the keys of the history was written by somebody, and not by one who was told that it failed.
 *
 * Writes of unknown outcome are settled by the watch. Time is that of sorting; memory is that of the watch's index
 * ({@link WatchIndex}) and of what is under way, so a million operations are judged in seconds. Reads at weaker levels are left to
 * the checker of levels.
 */
export function strictChecker(): Checker {
  return checkerByWatch('strict', (findings, index, history) =>
    new StrictCheck(findings, index).run(history),
  );
}

class StrictCheck {
  readonly #findings: Findings;
  readonly #index: WatchIndex;
  readonly #clock = new RevisionClock();
  readonly #unknown = new UnknownWrites();
  readonly #keys = new Set<string>();
  /** Whose writes made a revision. */
  readonly #writers = new Map<number, Call>();
  #acknowledged = 0;
  #beyondWatch = 0;
  #withoutRevision = 0;

  constructor(findings: Findings, index: WatchIndex) {
    this.#findings = findings;
    this.#index = index;
  }

  async run(history: HistoryReader): Promise<Verdict> {
    const pairer = new CallPairer(history.source);
    for await (const operation of history) {
      if (operation.type === 'invoke') this.#clock.begin(operation);
      const call = pairer.take(operation);
      if (call !== null) this.#judge(call);
    }
    for (const call of pairer.rest()) this.#judge(call);
    this.#settleUnknown();
    return this.#verdict();
  }

  #judge(call: Call): void {
    const told = this.#clock.beganAfter(call);
    if ((call.invoke.level ?? 'linearizable') !== 'linearizable') return;
    const effects = effectsOf(call);
    if (effects === null) {
      // It must not be there: what is there and nobody's is found at the end.
      if (call.key !== '' && call.f !== 'event') this.#keys.add(call.key);
      return;
    }
    for (const key of effects.writes.keys()) this.#keys.add(key);
    // Whether a deletion that was acknowledged found anything is an outcome, too.
    const isUntold = call.f === 'delete' && typeof call.answer !== 'boolean';
    if (call.outcome === 'info' || (isUntold && call.outcome === 'ok')) {
      if (effects.writes.size === 0) return;
      const { writes, reads } = effects;
      this.#unknown.add({ call, writes, reads, after: told.revision });
      this.#findings.operations += 1;
      return;
    }
    const revision = call.completion?.revision;
    if (revision === undefined) {
      this.#withoutRevision += 1;
      // It is somewhere, but nobody says where.
      if (effects.writes.size > 0) {
        const { writes, reads } = effects;
        this.#unknown.add({ call, writes, reads, after: told.revision });
      }
      return;
    }
    this.#findings.operations += 1;
    this.#acknowledged += 1;
    if (effects.writes.size > 0) this.#judgeWriter(call, revision);
    this.#judgeTime(call, { revision, told, isWrite: effects.writes.size > 0 });
    if (revision > this.#index.lastRevision) this.#beyondWatch += 1;
    else this.#judgeEffects(call, effects, revision);
    this.#clock.told(call, revision);
  }

  /** All that a call writes is at one revision, which is its own. */
  #judgeWriter(call: Call, revision: number): void {
    const other = this.#writers.get(revision);
    this.#writers.set(revision, call);
    // On one key it is one event for two.
    if (other === undefined || sharesKey(other, call)) return;
    const text = `${describe(call)} and ${describe(other)} were both acknowledged at revision ${revision}`;
    this.#findings.note('one revision for two writes', text, [other, call]);
  }

  #judgeTime(
    call: Call,
    { revision, told, isWrite }: { revision: number; told: Told; isWrite: boolean },
  ): void {
    const isLate = isWrite ? revision > told.revision : revision >= told.revision;
    if (isLate || told.by === null) return;
    const what = isWrite ? 'was written at' : 'saw the store at';
    const before = `revision ${told.revision} had been answered at ${seconds(told.by.end)}`;
    const text = `${describe(call)} began at ${seconds(call.begin)} and ${what} revision ${revision}, when ${before}`;
    this.#findings.note(isWrite ? 'a write in the past' : 'stale read', text, [told.by, call]);
  }

  #judgeEffects(call: Call, effects: Effects, revision: number): void {
    // What it wrote itself is what the store has at its revision; what it read was there before.
    const readAt = effects.writes.size > 0 ? revision - 1 : revision;
    for (const [key, hash] of effects.reads) {
      if (this.#index.hashAt(key, readAt) === hash) continue;
      const text = `${describe(call)} does not fit what "${key}" held at revision ${readAt}`;
      this.#findings.note('a read of what was not there', text, [call]);
    }
    for (const [key, hash] of effects.not) {
      if (this.#index.hashAt(key, readAt) !== hash) continue;
      const text = `${describe(call)} was refused when "${key}" held it at revision ${readAt}`;
      this.#findings.note('a condition that held was refused', text, [call]);
    }
    for (const key of effects.something) {
      if (this.#index.hashAt(key, readAt) !== ABSENT) continue;
      const text = `${describe(call)} found something when "${key}" held nothing at revision ${readAt}`;
      this.#findings.note('a read of what was not there', text, [call]);
    }
    if (effects.contradiction !== null) {
      const text = `${describe(call)} read "${effects.contradiction}" otherwise than it had written it`;
      this.#findings.note('does not see its own writes', text, [call]);
    }
    for (const [key, hash] of effects.writes) this.#judgeWrite(call, { key, hash, revision });
  }

  #judgeWrite(
    call: Call,
    { key, hash, revision }: { key: string; hash: number; revision: number },
  ): void {
    const event = this.#index.eventAt(key, revision);
    const what = `${describe(call)} was acknowledged at revision ${revision}`;
    const claimed = event === null ? 0 : this.#index.claim(event.place);
    if (event === null) {
      this.#findings.note('lost write', `${what}, where "${key}" has no event`, [call]);
    } else if (event.hash !== hash) {
      this.#findings.note('changed write', `${what}, where "${key}" got another value`, [call]);
    } else if (claimed > 0) {
      this.#findings.note('one event for two writes', `${what}, and so was another one`, [call]);
    }
  }

  #settleUnknown(): void {
    for (const key of this.#keys) {
      for (const { revision, candidates } of this.#unknown.unexplained(key, this.#index)) {
        const event = `the event of "${key}" at revision ${revision}`;
        const calls = candidates.slice(0, 1).map(({ call }) => call);
        if (candidates.length === 0) {
          this.#findings.note(
            'a write of nobody',
            `${event} was written by nobody, or by one who was told that it failed`,
          );
        } else {
          this.#findings.note(
            'applied twice, or before it was asked for',
            `${event} is more than the ${candidates.length} writes of that value of unknown outcome can have done`,
            calls,
          );
        }
      }
    }
    for (const { write, text } of this.#unknown.torn(this.#index)) {
      const anomaly =
        write.writes.size > 1 ? 'half of a transaction' : 'a condition that did not hold';
      this.#findings.note(anomaly, `${describe(write.call)}: ${text}`, [write.call]);
    }
  }

  #verdict(): Verdict {
    const details = {
      events: this.#index.events,
      lastRevision: this.#index.lastRevision,
      unknownOutcomes: this.#unknown.count,
      withoutRevision: this.#withoutRevision,
      beyondWatch: this.#beyondWatch,
    };
    const { operations } = this.#findings;
    let doubt = this.#acknowledged === 0 && operations > 0 ? 'nothing was acknowledged' : null;
    if (this.#withoutRevision > 0) {
      doubt = `${this.#withoutRevision} answers have no revision`;
    } else if (this.#beyondWatch > 0) {
      doubt = `${this.#beyondWatch} answers are of revisions behind ${this.#index.lastRevision}, where the watch ends`;
    }
    const shown = `${operations} operations are strictly serializable in the order of their revisions, ${this.#unknown.count} of them of unknown outcome`;
    return this.#findings.verdict(shown, { doubt, details });
  }
}

function sharesKey(one: Call, other: Call): boolean {
  const keys = new Set(effectsOf(one)?.writes.keys());
  return [...(effectsOf(other)?.writes.keys() ?? [])].some((key) => keys.has(key));
}

function describe({ f, key, asked, answer, outcome }: Call): string {
  const isRead = f === 'get' || f === 'read' || f === 'txn';
  const value = isRead && outcome === 'ok' ? answer : asked;
  const what = value === undefined ? '' : ` ${isRead ? '-> ' : ''}${show(value)}`;
  return `${f}${key === '' ? '' : ` "${key}"`}${what}`;
}
