import { type Call, callsOf } from './calls.js';
import { ChangeBounds } from './change-bounds.js';
import type { Checker } from './checker.js';
import { Findings } from './findings.js';
import { judgeByWatch } from './ledger/by-watch.js';
import type { Ledger } from './ledger/ledger.js';
import { ToldInTheEnd } from './told-in-the-end.js';
import { judgeRise, judgeSums, type Total } from './totals.js';
import { listOf, numberOf, seconds, show, valueText } from './values.js';

/** All calls under one idempotency key. */
interface Attempts {
  readonly key: string;
  readonly amount: number;
  readonly calls: Call[];
}

export interface ExactlyOnceOptions {
  /** Of the total in the watch. Default: `once-total`. */
  readonly totalKey?: string;
  /** There, under this and the key of a call, it is counted how often that was applied. Default: `once/`. */
  readonly appliedPrefix?: string;
}

/**
 * Procedures that are asked again until they are answered, each adding to one total and giving the total behind it. Under one key: all
 * answers are the same (two answers), and it counts once. Between keys: no two have the same result, since each changes the total
 * (one result for two). Reads of the total: what is acknowledged <= total <= that and what is of unknown outcome, by
 * moments; so are the results. The total only rises, from one that was told to the next by what calls have added, and so does the list
 * of what was applied, which has each key that was acknowledged, once, and no other's. With the watch each call is
 * settled: it has made its result, at one revision, together with its entry in the list.
 */
export function exactlyOnceChecker(options: ExactlyOnceOptions = {}): Checker {
  const { totalKey = 'once-total', appliedPrefix = 'once/' } = options;
  return {
    name: 'exactly-once',
    check: async (history, watch) => {
      const findings = new Findings('exactly-once');
      const attempts = new Map<string, Attempts>();
      const reads: Call[] = [];
      const lists: Call[] = [];
      const told = new ToldInTheEnd();
      for await (const call of callsOf(history)) {
        if (call.f === 'call') addAttempt(findings, attempts, call);
        else if (call.f === 'read' && call.outcome === 'ok') reads.push(call);
        else if (call.f === 'applied' && call.outcome === 'ok') lists.push(call);
        else continue;
        findings.operations += 1;
        // All keys add to one total.
        if (call.f === 'call') told.wrote({ ...call, key: '' });
        else told.read({ ...call, key: '' });
      }
      judgeResults(findings, attempts);
      judgeTotals(findings, [...attempts.values()], reads);
      for (const list of lists) judgeApplied(findings, attempts, list);
      const retried = [...attempts.values()].filter(({ calls }) => calls.length > 1).length;
      // What was found before shows the same.
      const undecided = findings.isEmpty
        ? judgeOrder(findings, [...attempts.values()], reads, lists)
        : 0;
      const isSettled =
        watch !== undefined &&
        (await judgeByWatch(
          findings,
          ledgerOf([...attempts.values()], { totalKey, appliedPrefix, reads }),
          watch,
        ));
      const unsettled =
        undecided > 0 && !isSettled
          ? `of ${undecided} totals it could not be found out within the bounds of the search whether calls come to them`
          : null;
      const doubt = told.doubt('the calls') ?? unsettled;
      const shown = `${attempts.size} calls count once, ${retried} of them were asked more than once`;
      return findings.verdict(shown, { doubt, details: { keys: attempts.size, retried } });
    },
  };
}

function addAttempt(findings: Findings, attempts: Map<string, Attempts>, call: Call): void {
  const amount = numberOf(call, call.asked);
  const known = attempts.get(call.key);
  if (known === undefined) {
    attempts.set(call.key, { key: call.key, amount, calls: [call] });
    return;
  }
  known.calls.push(call);
  if (known.amount !== amount) {
    findings.note('bad workload', `key ${call.key} has two amounts`, known.calls);
  }
}

function judgeResults(findings: Findings, attempts: ReadonlyMap<string, Attempts>): void {
  const byResult = new Map<string, Call>();
  for (const { key, calls, amount } of attempts.values()) {
    const answers = calls.filter(({ outcome }) => outcome === 'ok');
    const [first] = answers;
    if (first === undefined) continue;
    const other = answers.find(({ answer }) => valueText(answer) !== valueText(first.answer));
    if (other !== undefined) {
      const text = `key ${key} was answered ${show(first.answer)}, and ${show(other.answer)}`;
      findings.note('two answers', text, [first, other]);
    }
    if (amount <= 0) continue;
    const result = valueText(first.answer);
    const twin = byResult.get(result);
    if (twin !== undefined) {
      const text = `keys ${twin.key} and ${key} were both answered ${result}`;
      findings.note('one result for two', text, [twin, first]);
    }
    byResult.set(result, first);
  }
}

/** From when on one may count, and from when on it must. */
function spanOf(calls: readonly Call[]): { begin: number; end: number } | null {
  const possible = calls.filter(({ outcome }) => outcome !== 'fail');
  if (possible.length === 0) return null;
  return {
    begin: Math.min(...possible.map(({ begin }) => begin)),
    end: Math.min(...possible.map(({ end }) => end)),
  };
}

function judgeTotals(
  findings: Findings,
  attempts: readonly Attempts[],
  reads: readonly Call[],
): void {
  const spans = attempts.flatMap(({ amount, calls }) => {
    const span = spanOf(calls);
    return span === null ? [] : [{ by: amount, ...span }];
  });
  const bounds = new ChangeBounds(spans);
  const judge = (value: unknown, call: Call, span: { begin: number; end: number }): void => {
    const total = numberOf(call, value);
    const { low, high } = bounds.of(span);
    if (total >= low && total <= high) return;
    const anomaly = total < low ? 'a call is lost' : 'a call counts twice';
    const text = `the total was ${total} at ${seconds(span.end)}, and must be from ${low} to ${high}`;
    findings.note(anomaly, text, [call]);
  };
  for (const call of reads) judge(call.answer, call, call);
  for (const { calls } of attempts) {
    const first = calls.find(({ outcome }) => outcome === 'ok');
    const span = spanOf(calls);
    // The answer of a repeated call is that of the first time.
    if (first !== undefined && span !== null) judge(first.answer, first, span);
  }
}

/** @returns how many totals could not be judged within the bounds of the search */
function judgeOrder(
  findings: Findings,
  attempts: readonly Attempts[],
  reads: readonly Call[],
  lists: readonly Call[],
): number {
  // With others the total may fall, and equal results say nothing.
  if (attempts.some(({ amount }) => amount <= 0)) return 0;
  const totals: Total[] = reads.map((call) => ({
    ...{ call, total: numberOf(call, call.answer), by: 0 },
    ...{ begin: call.begin, end: call.end },
  }));
  const unanswered: number[] = [];
  for (const { calls, amount } of attempts) {
    const first = calls.find(({ outcome }) => outcome === 'ok');
    const span = spanOf(calls);
    if (span === null) continue;
    if (first === undefined) unanswered.push(amount);
    else totals.push({ call: first, total: numberOf(first, first.answer), by: amount, ...span });
  }
  const amounts = new Map(attempts.map(({ key, amount }) => [key, amount]));
  const sums = lists.map((call) => {
    const keys = listOf(call, call.answer).map((key) => `${key}`);
    return { call, sum: keys.reduce((sum, key) => sum + (amounts.get(key) ?? 0), 0) };
  });
  judgeSums(findings, totals, sums);
  return judgeRise(findings, totals, unanswered);
}

function ledgerOf(
  attempts: readonly Attempts[],
  {
    totalKey,
    appliedPrefix,
    reads,
  }: Required<ExactlyOnceOptions> & { readonly reads: readonly Call[] },
): Ledger {
  // That of one that was asked again is of the first time, before it was asked again.
  const once = attempts.flatMap(({ calls }) => (calls.length === 1 ? calls : []));
  const answered = once.filter(({ outcome }) => outcome === 'ok');
  return {
    changes: attempts.flatMap(({ key, amount, calls }) => {
      const span = spanOf(calls);
      if (span === null) return [];
      const by = new Map([
        [totalKey, amount],
        [appliedPrefix + key, 1],
      ]);
      return [{ calls, by, ...span, revision: revisionOf(calls) }];
    }),
    reads: [...reads, ...answered].map((call) => ({
      call,
      values: new Map([[totalKey, numberOf(call, call.answer)]]),
    })),
  };
}

/** The answer of a repeated call is that of the first time, and so is its revision. */
function revisionOf(calls: readonly Call[]): number | undefined {
  return calls.find(({ outcome }) => outcome === 'ok')?.completion?.revision;
}

function judgeApplied(
  findings: Findings,
  attempts: ReadonlyMap<string, Attempts>,
  list: Call,
): void {
  const keys = listOf(list, list.answer).map((key) => `${key}`);
  const there = new Set(keys);
  if (there.size < keys.length) {
    const twice = keys.find((key, at) => keys.indexOf(key) !== at) ?? '';
    const calls = attempts.get(twice)?.calls ?? [];
    findings.note('a call counts twice', `${twice} was applied twice`, [...calls, list]);
  }
  for (const key of there) {
    const calls = attempts.get(key)?.calls ?? [];
    const span = spanOf(calls);
    if (span !== null && span.begin <= list.end) continue;
    const text = `${key} was applied, and ${calls.length === 0 ? 'nobody asked for it' : 'its callers were told that it was not'}`;
    findings.note('of nobody', text, [...calls, list]);
  }
  for (const { key, calls } of attempts.values()) {
    const span = spanOf(calls);
    if (span === null || span.end >= list.begin || there.has(key)) continue;
    findings.note('a call is lost', `${key} was answered, and is not there`, [...calls, list]);
  }
}
