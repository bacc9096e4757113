import type { Call } from './calls.js';
import type { Findings } from './findings.js';
import { SubsetSearch, type Vector } from './ledger/subset-search.js';
import { countBelow } from './sorted.js';
import { seconds } from './values.js';

/** A total that only rises, as somebody was told it. */
export interface Total {
  readonly call: Call;
  readonly total: number;
  /** By how much this very call has made it rise; 0: it was only read. */
  readonly by: number;
  /** It was so at a moment between the two. */
  readonly begin: number;
  readonly end: number;
}

/** A sum of what was applied: there was no more before, and no less after. */
export interface Sum {
  readonly call: Call;
  readonly sum: number;
}

/**
 * Totals that calls, each of more than 0, have made, as they and others were told: none is less than one that had been told before;
 * between two that follow each other there is room for what the second one has added; and the room beyond that is filled by
 * calls that were not answered.
 *
 * @param unanswered amounts of those that may have been applied, and were not told what came of it
 * @returns how many could not be judged within the bounds of the search
 */
export function judgeRise(
  findings: Findings,
  totals: readonly Total[],
  unanswered: readonly number[],
): number {
  judgeTime(findings, totals);
  const search = new SubsetSearch();
  const items: Vector[] = unanswered.map((amount) => [amount]);
  let undecided = 0;
  let last: Total | null = null;
  for (const one of [...totals].sort((a, b) => a.total - b.total || b.by - a.by)) {
    const before: number = last?.total ?? 0;
    const room = one.total - one.by - before;
    const calls = last === null ? [one.call] : [last.call, one.call];
    const found = room < 0 ? false : search.canBeMade([room], items);
    if (found === null) undecided += 1;
    // One that is equal and was only read is no step.
    if (found === false && !(one.by === 0 && room === 0)) {
      const text = `${textOf(one)} comes behind ${before}, and no calls that were not answered come to the ${room} between them`;
      findings.note('totals that no order gives', text, calls);
    }
    last = one;
  }
  return undecided;
}

function judgeTime(findings: Findings, totals: readonly Total[]): void {
  const told = new Highest(totals);
  for (const one of totals) {
    const before = told.before(one.begin);
    if (before === null || one.total - one.by >= before.total) continue;
    const text = `${textOf(one)}, asked for from ${seconds(one.begin)} on, when ${before.total} had been told at ${seconds(before.end)}`;
    findings.note('the total went back', text, [before.call, one.call]);
  }
}

/** Lists of what was applied are of the same store as the totals. */
export function judgeSums(
  findings: Findings,
  totals: readonly Total[],
  sums: readonly Sum[],
): void {
  const told = new Highest(totals);
  const byBegin = [...totals].sort((a, b) => a.begin - b.begin);
  for (const { call, sum } of sums) {
    const before = told.before(call.begin);
    if (before !== null && before.total > sum) note(findings, before, { call, sum });
    const after = byBegin.find(({ begin, total, by }) => begin > call.end && total - by < sum);
    if (after !== undefined) note(findings, after, { call, sum });
  }
}

function note(findings: Findings, one: Total, { call, sum }: Sum): void {
  const text = `${textOf(one)}, and the list of what was applied as read at ${seconds(call.end)} comes to ${sum}`;
  findings.note('the list contradicts the total', text, [one.call, call]);
}

function textOf({ total, by, end }: Total): string {
  const what = by === 0 ? 'was read as' : `became, by ${by},`;
  return `the total ${what} ${total} (told at ${seconds(end)})`;
}

/** The highest total that had been told before a moment. */
class Highest {
  readonly #ends: number[] = [];
  readonly #totals: Total[] = [];

  constructor(totals: readonly Total[]) {
    for (const one of [...totals].sort((a, b) => a.end - b.end)) {
      if (one.total <= (this.#totals.at(-1)?.total ?? Number.NEGATIVE_INFINITY)) continue;
      this.#ends.push(one.end);
      this.#totals.push(one);
    }
  }

  before(time: number): Total | null {
    return this.#totals[countBelow(this.#ends, time) - 1] ?? null;
  }
}
