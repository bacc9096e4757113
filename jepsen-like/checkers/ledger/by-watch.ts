import { HistoryError } from '../../history/history-error.js';
import type { HistoryReader } from '../../history/history-reader.js';
import type { Call } from '../calls.js';
import type { Findings } from '../findings.js';
import { countBelow } from '../sorted.js';
import { seconds } from '../values.js';
import type { Ledger, LedgerChange, LedgerRead } from './ledger.js';

/**
 * By the watch of the whole store, where it has the numbers: each change there is one that was asked for, once, at the revision that its
 * answer names; each read is of what the numbers were at its revision; and what began when a revision had been told is not
 * behind it. Outcomes that are not known are settled.
 *
 * @returns whether the watch has any of these numbers
 */
export async function judgeByWatch(
  findings: Findings,
  ledger: Ledger,
  watch: HistoryReader,
): Promise<boolean> {
  const names = new Set(ledger.changes.flatMap(({ by }) => [...by.keys()]));
  const judge = new WatchJudge(findings, ledger);
  let group: Event[] = [];
  let last = 0;
  for await (const { f, key, value, revision } of watch) {
    if (f !== 'event' || key === undefined || revision === undefined) continue;
    if (revision < last) {
      throw new HistoryError(watch.source, `revision ${revision} comes behind ${last}`);
    }
    if (revision > last) judge.take(last, group);
    if (revision > last) group = [];
    last = revision;
    if (names.has(key)) group.push({ key, value });
  }
  judge.take(last, group);
  if (judge.isSeen) judge.end(last);
  return judge.isSeen;
}

interface Event {
  readonly key: string;
  readonly value: unknown;
}

class WatchJudge {
  readonly #findings: Findings;
  readonly #told: Told;
  readonly #values = new Map<string, number>();
  /** Those whose revision was answered. */
  readonly #placed = new Map<number, LedgerChange[]>();
  /** All others, by what they add, those first that can have been first. */
  readonly #open = new Map<string, { readonly change: LedgerChange; readonly after: number }[]>();
  readonly #reads: readonly LedgerRead[];
  #nextRead = 0;
  isSeen = false;

  constructor(findings: Findings, { changes, reads }: Ledger) {
    this.#findings = findings;
    this.#told = new Told([...changes.flatMap(({ calls }) => calls), ...reads.map((r) => r.call)]);
    for (const change of changes) this.#add(change);
    for (const list of this.#open.values()) list.sort((a, b) => a.after - b.after);
    this.#reads = reads
      .filter(({ call }) => call.completion?.revision !== undefined)
      .sort((a, b) => revisionOf(a.call) - revisionOf(b.call));
  }

  #add(change: LedgerChange): void {
    const { revision } = change;
    if (revision !== undefined) {
      this.#placed.set(revision, [...(this.#placed.get(revision) ?? []), change]);
      return;
    }
    const name = textOf(change.by);
    const alike = this.#open.get(name);
    const one = { change, after: this.#told.before(change.begin).revision };
    if (alike === undefined) this.#open.set(name, [one]);
    else alike.push(one);
  }

  take(revision: number, events: readonly Event[]): void {
    if (events.length === 0) return;
    this.isSeen = true;
    this.#readsBefore(revision);
    const by = new Map<string, number>();
    for (const { key, value } of events) {
      const number = typeof value === 'number' ? value : 0;
      by.set(key, (by.get(key) ?? 0) + number - (this.#values.get(key) ?? 0));
      this.#values.set(key, number);
    }
    const placed = this.#placed.get(revision) ?? [];
    this.#placed.delete(revision);
    const calls = placed.flatMap((change) => change.calls);
    const [first, ...others] = placed;
    const found = textOf(by);
    if (first === undefined) this.#judgeOpen(revision, by);
    else if (others.length > 0) {
      this.#findings.note('one change for two', `both were answered revision ${revision}`, calls);
    } else if (textOf(first.by) !== found) {
      const text = `at revision ${revision} it was ${textOf(first.by)} that was to be added, and the watch has ${found}`;
      this.#findings.note('another change', text, calls);
    } else this.#judgeTime(first, revision);
  }

  /** One of those of unknown outcome, which had been asked for by then. */
  #judgeOpen(revision: number, by: ReadonlyMap<string, number>): void {
    const alike = this.#open.get(textOf(by)) ?? [];
    const [next] = alike;
    if (next !== undefined && next.after < revision) {
      alike.shift();
      return;
    }
    const text = `${textOf(by)} was added at revision ${revision}, and nobody had asked for that, or for no more of it`;
    this.#findings.note('a change of nobody', text, next?.change.calls ?? []);
  }

  #judgeTime({ calls, begin }: LedgerChange, revision: number): void {
    const told = this.#told.before(begin);
    if (told.by === null || revision > told.revision) return;
    const text = `a change that was asked for from ${seconds(begin)} on is of revision ${revision}; revision ${told.revision} had been told at ${seconds(told.by.end)}`;
    this.#findings.note('a change in the past', text, [told.by, ...calls]);
  }

  #readsBefore(revision: number): void {
    for (;;) {
      const read = this.#reads[this.#nextRead];
      if (read === undefined || revisionOf(read.call) >= revision) return;
      this.#nextRead += 1;
      this.#judgeRead(read);
    }
  }

  #judgeRead({ call, values }: LedgerRead): void {
    const revision = revisionOf(call);
    for (const [key, value] of values) {
      const held = this.#values.get(key) ?? 0;
      if (held === value) continue;
      const text = `"${key}" was read as ${value} at ${seconds(call.end)}, and held ${held} at revision ${revision}`;
      this.#findings.note('a read of what was not there', text, [call]);
    }
    const told = this.#told.before(call.begin);
    if (told.by === null || revision >= told.revision) return;
    const text = `a read from ${seconds(call.begin)} on saw revision ${revision}; revision ${told.revision} had been told at ${seconds(told.by.end)}`;
    this.#findings.note('stale read', text, [told.by, call]);
  }

  /** @param last where the watch ends */
  end(last: number): void {
    this.#readsBefore(last + 1);
    for (const [revision, changes] of this.#placed) {
      if (revision > last) continue;
      const calls = changes.flatMap((change) => change.calls);
      const text = `nothing was added at revision ${revision}, which was answered`;
      this.#findings.note('a lost change', text, calls);
    }
  }
}

/** Which revision had been told by when. */
class Told {
  readonly #times: number[] = [];
  readonly #calls: Call[] = [];

  constructor(calls: readonly Call[]) {
    let highest = 0;
    const told = calls.filter((call) => call.outcome === 'ok' && revisionOf(call) > 0);
    for (const call of told.sort((a, b) => a.end - b.end)) {
      if (revisionOf(call) <= highest) continue;
      highest = revisionOf(call);
      this.#times.push(call.end);
      this.#calls.push(call);
    }
  }

  before(time: number): { readonly revision: number; readonly by: Call | null } {
    const by = this.#calls[countBelow(this.#times, time) - 1] ?? null;
    return { revision: by === null ? 0 : revisionOf(by), by };
  }
}

function revisionOf({ completion }: Call): number {
  return completion?.revision ?? 0;
}

/** The same for those that add the same. */
function textOf(by: ReadonlyMap<string, number>): string {
  return JSON.stringify([...by].sort(([a], [b]) => (a < b ? -1 : 1)));
}
