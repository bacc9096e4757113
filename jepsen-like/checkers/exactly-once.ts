import { type Call, callsOf } from './calls.js';
import { ChangeBounds } from './change-bounds.js';
import type { Checker } from './checker.js';
import { Findings } from './findings.js';
import { ToldInTheEnd } from './told-in-the-end.js';
import { listOf, numberOf, seconds, show, valueText } from './values.js';

/** All calls under one idempotency key. */
interface Attempts {
  readonly key: string;
  readonly amount: number;
  readonly calls: Call[];
}

/**
 * Procedures that are asked again until they are answered, each adding to one total and giving the total behind it. Under one key: all
 * answers are the same (two answers), and it counts once. Between keys: no two have the same result, since each changes the total
 * (one result for two). Reads of the total: what is acknowledged <= total <= that and what is of unknown outcome, by
 * moments; so are the results. The list of what was applied has each key that was acknowledged, once, and no other's.
 */
export function exactlyOnceChecker(): Checker {
  return {
    name: 'exactly-once',
    check: async (history) => {
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
      const doubt = told.doubt('the calls');
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
