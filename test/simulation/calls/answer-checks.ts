import {
  findAnomalies,
  type ListOperation,
  type ListTransaction,
} from '../../../jepsen-like/checkers/append/list-anomalies.js';
import type { Coverage } from '../coverage.js';
import { checkRegister, describeOperations, type Operation } from '../linearizability.js';
import { Violation } from '../scheduler.js';
import { type Ask, type CallLedger, fateOf, type LedgerCall } from './call-ledger.js';
import type { AppendArgs, CountArgs } from './native-procedures.js';

/** What can be said of the answers alone, without a look into the cluster. */

type Lists = Readonly<Record<string, readonly string[]>>;

/** Are the calls on lists, and the transactions of clients on them, strictly serializable? */
export function checkLists(
  ledger: CallLedger,
  others: readonly ListTransaction[],
  final: Lists,
): void {
  const end: ListTransaction = {
    ...{ name: 'the end', status: 'applied', isStrict: true },
    operations: readsOf(final),
    beginMs: Number.MAX_SAFE_INTEGER,
    endMs: Number.MAX_SAFE_INTEGER,
  };
  const calls = [...ledger.calls.values()].flatMap((call) => {
    if (call.name === 'append') return [appendOf(call)];
    return call.name === 'lists' ? looksOf(call) : [];
  });
  const [anomaly] = findAnomalies([...calls, ...others, end]);
  if (anomaly === undefined) return;
  throw new Violation(`Calls: lists: ${anomaly.name}: ${anomaly.description}`);
}

/** All that asked for it are one transaction. */
function appendOf(call: LedgerCall): ListTransaction {
  const { appends } = call.args as AppendArgs;
  const fate = fateOf(call);
  const first = call.asks.find(({ answer }) => answer !== null);
  const reads = first === undefined ? [] : readsOf(resultOf(first).lists as Lists);
  const appended = appends.map(([key, value]): ListOperation => ({ type: 'append', key, value }));
  const ends = call.asks.flatMap(({ answer, endMs }) => (answer === null ? [] : [endMs]));
  return {
    name: call.id,
    status: fate === 'not-applied' ? 'failed' : fate,
    operations: [...reads, ...appended],
    beginMs: Math.min(...call.asks.map(({ beginMs }) => beginMs)),
    endMs: Math.min(...ends, Number.POSITIVE_INFINITY),
    isStrict: true,
  };
}

function looksOf(call: LedgerCall): ListTransaction[] {
  return call.asks
    .filter(({ answer }) => answer !== null)
    .map((ask) => ({
      name: `${call.id} of ${ask.who}`,
      status: 'applied' as const,
      operations: readsOf(resultOf(ask).lists as Lists),
      beginMs: ask.beginMs,
      endMs: ask.endMs,
      isStrict: ask.sight.type === 'strict',
    }));
}

function readsOf(lists: Lists): ListOperation[] {
  return Object.entries(lists).map(([key, values]) => ({ type: 'read', key, values }));
}

function resultOf({ answer }: Ask): Readonly<Record<string, unknown>> {
  return (answer?.result ?? {}) as Record<string, unknown>;
}

/** Each counter is what was added to it, as far as that is known. */
export function checkCounters(ledger: CallLedger, final: ReadonlyMap<string, number>): void {
  const least = new Map<string, number>();
  const most = new Map<string, number>();
  for (const call of ledger.calls.values()) {
    if (call.name !== 'count') continue;
    const { counter, by } = call.args as CountArgs;
    const fate = fateOf(call);
    if (fate === 'applied') least.set(counter, (least.get(counter) ?? 0) + by);
    if (fate !== 'not-applied') most.set(counter, (most.get(counter) ?? 0) + by);
  }
  for (const [counter, max] of most) {
    const found = final.get(counter) ?? 0;
    const min = least.get(counter) ?? 0;
    if (found >= min && found <= max) continue;
    throw new Violation(
      `Calls: counter ${counter} is ${found}, of ${min} to ${max} that was added`,
    );
  }
}

/** All that was answered to those who asked under one key is the same. */
export function checkSameAnswers(ledger: CallLedger): void {
  for (const call of ledger.calls.values()) {
    // One that was forgotten, and applied again, has another revision.
    const answers = new Map<number, string>();
    let isNew = 0;
    for (const { answer } of call.asks) {
      if (answer === null || !call.isNamed) continue;
      const told = JSON.stringify(answer.result);
      const before = answers.get(answer.revision);
      answers.set(answer.revision, told);
      if (before !== undefined && before !== told) {
        throw new Violation(`Calls: ${call.id} was answered ${before} and ${told}`);
      }
      if (!answer.repeated) isNew += 1;
    }
    if (isNew <= answers.size) continue;
    throw new Violation(`Calls: ${isNew} that asked for ${call.id} were told that they were first`);
  }
}

/** What a name stands for is a register that deployments write and calls read. */
export function checkVersions(ledger: CallLedger, coverage: Coverage): void {
  const byReference = new Map<string, Operation[]>();
  const note = (reference: string, operation: Operation): void => {
    const known = byReference.get(reference);
    if (known === undefined) byReference.set(reference, [operation]);
    else known.push(operation);
  };
  for (const { who, references, version, beginMs, endMs } of ledger.deployments) {
    for (const reference of references) {
      const isKnown = endMs !== Number.POSITIVE_INFINITY;
      note(reference, {
        ...{ client: who, beginMs, endMs },
        call:
          version === null
            ? { type: 'delete', found: isKnown ? true : null }
            : { type: 'put', value: `v${version}` },
      });
    }
  }
  for (const { call, ask } of ledger.asks()) {
    const value = versionSeen(ask);
    if (value === undefined || ask.sight.type !== 'strict') continue;
    const { who: client, beginMs, endMs } = ask;
    note(aliasOf(call.reference), { client, beginMs, endMs, call: { type: 'get', value } });
  }
  for (const [reference, operations] of byReference) {
    if (reference.includes('#')) continue;
    const verdict = checkRegister(operations);
    coverage.count(`calls: versions of a name, ${verdict.type}`);
    if (verdict.type !== 'impossible') continue;
    throw new Violation(
      `Calls: ${reference} cannot have stood for these in any order:\n${describeOperations(verdict.core)}`,
    );
  }
}

/** `undefined`: it says nothing of what the name stood for in its time. */
function versionSeen({ answer, error }: Ask): string | null | undefined {
  if (answer !== null) {
    return answer.repeated ? undefined : `v${(answer.result as { version: number }).version}`;
  }
  if (error === null || error.outcome === 'unknown') return undefined;
  if (error.code === 'PROCEDURE_NOT_FOUND') return null;
  if (error.code !== 'PROCEDURE_ABORTED') return undefined;
  return /^(v\d+):/.exec(error.message)?.[1];
}

function aliasOf(reference: string): string {
  const [name, alias = 'prod'] = reference.split('@');
  // By its hash: always the same.
  return alias.length >= 8 ? `${name}#${alias}` : `${name}@${alias}`;
}
