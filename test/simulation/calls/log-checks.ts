import { Violation } from '../scheduler.js';
import type { WatchHistory, WrittenEvent } from '../watch-history.js';
import type { Answer, Ask, CallLedger, LedgerCall } from './call-ledger.js';
import { fateOf } from './call-ledger.js';
import type { CallObserver } from './call-observer.js';
import { checkState } from './invariant-checks.js';
import { runOnModel } from './native-model.js';
import { bundleOf, NATIVE_PROCEDURES } from './native-procedures.js';
import { type Applied, type Moment, replay } from './replay.js';

export interface LogFacts {
  readonly ledger: CallLedger;
  readonly history: WatchHistory;
  readonly observer: CallObserver;
  /** How long a key of a caller is remembered, in log time. */
  readonly namedCallKeptMs: number;
}

interface Asked {
  readonly call: LedgerCall;
  readonly ask: Ask;
}

interface Answered extends Asked {
  readonly answer: Answer;
}

/** A failure of a call's code, which must have come of some state between its begin and its end. */
interface Aborted extends Asked {
  readonly message: string;
  readonly from: number;
  readonly through: number;
  isFounded: boolean;
}

/**
 * Compares what was answered with what was written, revision by revision: each call, run again on a plain map at its place
 * in the log, must write and answer the same.
 */
export class LogChecks {
  readonly #facts: LogFacts;
  /** By revision. */
  readonly #answered = new Map<number, Answered[]>();
  readonly #aborted: Aborted[] = [];
  /** By the name of the call. */
  readonly #applied = new Map<string, Applied[]>();

  constructor(facts: LogFacts) {
    this.#facts = facts;
    const { ledger, history } = facts;
    for (const { call, ask } of ledger.asks()) {
      const { answer, error, beginMs, endMs } = ask;
      if (answer !== null) {
        const group = this.#answered.get(answer.revision) ?? [];
        group.push({ call, ask, answer });
        this.#answered.set(answer.revision, group);
      } else if (error?.code === 'PROCEDURE_ABORTED' && ask.sight.type === 'strict') {
        const from = history.revisionBefore(beginMs);
        const through = history.revisionBefore(endMs + 0.001);
        this.#aborted.push({
          ...{ call, ask, message: error.message, from, through, isFounded: false },
        });
      }
    }
  }

  /** @throws Violation */
  check(): void {
    replay(this.#facts.history, (moment) => this.#look(moment));
    for (const aborted of this.#aborted) this.#checkFounded(aborted);
    for (const call of this.#facts.ledger.calls.values()) this.#checkFate(call);
    const last = this.#facts.history.revision;
    for (const [revision, [first]] of this.#answered) {
      if (revision <= last || first === undefined) continue;
      throw new Violation(`Calls: ${nameOf(first)} was told of revision ${revision} of ${last}`);
    }
  }

  #look(moment: Moment): void {
    const { revision, applied, after } = moment;
    checkState(after, `at revision ${revision}`);
    if (applied !== null) this.#checkApplied(applied, moment);
    for (const answered of this.#answered.get(revision) ?? []) {
      this.#checkAnswered(answered, moment);
    }
    for (const aborted of this.#aborted) {
      if (aborted.isFounded || revision < aborted.from || revision > aborted.through) continue;
      aborted.isFounded = this.#aborts(aborted, moment);
    }
  }

  // ---------------------------------------------------------------- what was written

  #checkApplied(applied: Applied, { before, events, revision }: Moment): void {
    const call = this.#facts.ledger.calls.get(applied.id);
    if (call === undefined) throw new Violation(`Calls: nobody asked for ${applied.id}`);
    this.#checkOnce(call, applied);
    const run = runOnModel({ ...call, version: applied.version }, before);
    const due = [...run.writes].map(([key, value]) => describe(key, value)).sort();
    const written = events.map((event) => describe(event.key, valueIn(event))).sort();
    if (due.join() === written.join()) return;
    throw new Violation(
      `Calls: at its place in the log (revision ${revision}) ${call.reference} ${call.id} would write\n  ` +
        `${due.join(', ') || run.reason}\n  and not\n  ${written.join(', ')}`,
    );
  }

  #checkOnce(call: LedgerCall, applied: Applied): void {
    const known = this.#applied.get(call.id) ?? [];
    const before = known.at(-1);
    this.#applied.set(call.id, [...known, applied]);
    if (before === undefined) return;
    const { observer, namedCallKeptMs } = this.#facts;
    const apartMs = observer.logTimeMs(applied.revision) - observer.logTimeMs(before.revision);
    // It was promised to be remembered for so long, and no longer.
    if (call.isNamed && apartMs > namedCallKeptMs) return;
    throw new Violation(
      `Calls: ${call.reference} ${call.id} was applied at revision ${before.revision} and again at ${applied.revision}`,
    );
  }

  /** What was told not to be applied was not, and what was applied was applied once. */
  #checkFate(call: LedgerCall): void {
    const [applied] = this.#applied.get(call.id) ?? [];
    if (applied === undefined || fateOf(call) !== 'not-applied') return;
    const told = call.asks.map(({ error }) => `${error?.code}: ${error?.message}`).join('; ');
    throw new Violation(
      `Calls: ${call.reference} ${call.id} was applied at revision ${applied.revision}, and its caller was told that it was not: ${told}`,
    );
  }

  // ---------------------------------------------------------------- what was answered

  #checkAnswered(answered: Answered, moment: Moment): void {
    const { call, answer } = answered;
    const version = (answer.result as { version: number }).version;
    if (answer.hash !== '' && answer.hash !== bundleOf(version).hash) {
      throw new Violation(`Calls: ${nameOf(answered)} ran ${answer.hash}, and answers ${version}`);
    }
    const { applied } = moment;
    const isOwn = applied?.id === call.id;
    if (!isOwn && this.#writes(call)) {
      throw new Violation(
        `Calls: ${nameOf(answered)} was told that it is revision ${answer.revision}, which is ${applied?.id ?? 'no call'}`,
      );
    }
    const run = runOnModel({ ...call, version }, isOwn ? moment.before : moment.after);
    if (run.result !== JSON.stringify(answer.result)) {
      throw new Violation(
        `Calls: at revision ${answer.revision} ${nameOf(answered)} would answer\n  ${run.result ?? run.reason}\n` +
          `  and not\n  ${JSON.stringify(answer.result)}`,
      );
    }
    this.#checkFresh(answered, isOwn);
  }

  #writes({ name }: LedgerCall): boolean {
    return name !== 'look' && NATIVE_PROCEDURES[name].mode === 'cp';
  }

  /** It saw as much as it was promised. */
  #checkFresh(answered: Answered, isOwn: boolean): void {
    const { ask, answer } = answered;
    if (answer.repeated) return;
    const { history } = this.#facts;
    const { revision } = answer;
    const { sight, beginMs, endMs } = ask;
    const had = history.revisionBefore(beginMs);
    let least = 0;
    if (sight.type === 'strict') least = isOwn ? had + 1 : had;
    else if (sight.type === 'session') least = sight.revision;
    else if (sight.type === 'bounded') least = history.revisionBefore(beginMs - sight.ms);
    if (revision >= least && history.appliedMs(revision) <= endMs) return;
    if (revision === 0 && least === 0) return;
    throw new Violation(
      `Calls: ${nameOf(answered)} (${sight.type}) saw revision ${revision} between ${beginMs.toFixed(1)} and ` +
        `${endMs.toFixed(1)} ms, when ${least} was due`,
    );
  }

  // ---------------------------------------------------------------- what has failed

  #aborts({ call, message }: Aborted, { after }: Moment): boolean {
    const version = /^v(\d+):/.exec(message)?.[1];
    return runOnModel({ ...call, version: Number(version) }, after).reason === message;
  }

  #checkFounded(aborted: Aborted): void {
    if (aborted.isFounded) return;
    const { message, from, through } = aborted;
    throw new Violation(
      `Calls: ${nameOf(aborted)} failed with "${message}", which holds at no revision from ${from} to ${through}`,
    );
  }
}

function nameOf({ call, ask }: Asked): string {
  return `${call.reference} ${call.id} of ${ask.who}`;
}

function valueIn({ type, value }: WrittenEvent): string | null {
  return type === 'put' ? value : null;
}

function describe(key: string, value: string | null): string {
  return value === null ? `-${key}` : `${key}=${value}`;
}
