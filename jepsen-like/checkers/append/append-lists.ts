import { type Call, callsOf } from '../calls.js';
import type { Checker } from '../checker.js';
import { Findings } from '../findings.js';
import { badValue, listOf, show, valueText } from '../values.js';
import {
  type Anomaly,
  findAnomalies,
  type ListOperation,
  type ListTransaction,
  type Step,
} from './list-anomalies.js';

/**
 * Strict serializability of transactions on lists, by what they appended and read alone, without revisions: the anomalies of Adya, as Elle
 * finds them ({@link findAnomalies}).
 */
export function appendChecker(): Checker {
  return {
    name: 'append',
    check: async (history) => {
      const findings = new Findings('append');
      const calls = new Map<string, Call>();
      const transactions: ListTransaction[] = [];
      let reads = 0;
      for await (const call of callsOf(history)) {
        if (call.f !== 'txn') continue;
        const transaction = toTransaction(call, `T${transactions.length + 1}`);
        judgeSteps(findings, call, transaction.name);
        reads += transaction.operations.filter(({ type }) => type === 'read').length;
        calls.set(transaction.name, call);
        transactions.push(transaction);
      }
      findings.operations = transactions.length;
      for (const anomaly of findAnomalies(transactions)) {
        const involved = anomaly.transactions.flatMap((name) => calls.get(name) ?? []);
        findings.note(anomaly.name, explain(anomaly), involved);
      }
      const unread = unreadLists(transactions);
      let doubt: string | null = null;
      if (reads === 0) doubt = 'no read tells what the lists hold';
      else if (unread > 0) doubt = `of ${unread} lists no read tells what they hold in the end`;
      const shown = `${transactions.length} transactions are strictly serializable, as far as what they read tells`;
      return findings.verdict(shown, { doubt, details: { reads, unread } });
    },
  };
}

/** Lists that nobody has begun to read since something was appended to them that was acknowledged. */
function unreadLists(transactions: readonly ListTransaction[]): number {
  const appended = new Map<string, number>();
  const read = new Map<string, number>();
  for (const { status, operations, beginMs, endMs } of transactions) {
    if (status !== 'applied') continue;
    for (const { type, key } of operations) {
      const [times, time] = type === 'append' ? [appended, endMs] : [read, beginMs];
      times.set(key, Math.max(times.get(key) ?? 0, time));
    }
  }
  return [...appended].filter(([key, end]) => (read.get(key) ?? -1) < end).length;
}

/** Each step is answered: a read with what it read, and an append as it was asked for. */
function judgeSteps(findings: Findings, call: Call, name: string): void {
  const { outcome, asked, answer } = call;
  if (outcome !== 'ok' || answer === undefined) return;
  const steps = (list: unknown): string[] => (Array.isArray(list) ? list : []).map(stepText);
  const wanted = steps(asked);
  const told = steps(answer);
  if (wanted.length === told.length && wanted.every((step, at) => step === told[at])) return;
  const text = `${name} was asked for ${show(asked)}, and answered with ${show(answer)}`;
  findings.note('other steps', text, [call]);
}

function stepText(step: unknown): string {
  if (!Array.isArray(step)) return valueText(step);
  return valueText(step[0] === 'r' ? [step[0], `${step[1]}`] : [step[0], `${step[1]}`, step[2]]);
}

function toTransaction(call: Call, name: string): ListTransaction {
  const { outcome, asked, answer, begin, end } = call;
  const isOk = outcome === 'ok';
  const operations: ListOperation[] = [];
  for (const step of listOf(call, isOk ? (answer ?? asked) : asked)) {
    const [what, key, value] = listOf(call, step);
    if (typeof key !== 'string' && typeof key !== 'number') {
      throw badValue(call, step, '["append" or "r", key, value]');
    }
    if (what === 'append') {
      operations.push({ type: 'append', key: `${key}`, value: valueText(value) });
    } else if (what !== 'r') {
      throw badValue(call, step, '["append" or "r", key, value]');
    } else if (isOk) {
      const values = listOf(call, value ?? []).map(valueText);
      operations.push({ type: 'read', key: `${key}`, values });
    }
  }
  const status = outcome === 'ok' ? 'applied' : outcome === 'fail' ? 'failed' : 'unknown';
  // Only the order counts.
  return { name, status, operations, beginMs: begin, endMs: end, isStrict: true };
}

function explain({ description, steps }: Anomaly): string {
  if (steps.length === 0) return description;
  return `${description}, since ${steps.map(explainStep).join('; ')}`;
}

function explainStep({ from, to, why, what }: Step): string {
  if (why === 'ww') return `${to} appended ${what} behind what ${from} had appended`;
  if (why === 'wr') return `${to} read what ${from} had appended, up to ${what}`;
  if (why === 'rw') return `${from} read without ${what}, which ${to} appended`;
  return `${to} began when ${from} had ended`;
}
