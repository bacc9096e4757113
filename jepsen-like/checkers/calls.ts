import { HistoryError } from '../history/history-error.js';
import type { HistoryReader } from '../history/history-reader.js';
import type { HistoryOperation } from '../history/operation.js';

/** An operation with its end. */
export interface Call {
  readonly process: number;
  readonly f: string;
  /** Empty: the line had none. */
  readonly key: string;
  readonly outcome: 'ok' | 'fail' | 'info';
  /** What was asked for. */
  readonly asked: unknown;
  /** What was answered; of those that are not `ok`, what the line says. */
  readonly answer: unknown;
  /** Nanoseconds. */
  readonly begin: number;
  /** Infinity: the outcome is not known, so it may take effect at any time after its begin, or never. */
  readonly end: number;
  readonly invoke: HistoryOperation;
  /** `null`: the history ends before. */
  readonly completion: HistoryOperation | null;
  /** Number of the line of the begin in the history, from 0. */
  readonly line: number;
}

/** These stand alone: nobody asked for them. */
const SEEN_ALONE: ReadonlySet<string> = new Set(['event', 'progress', 'lost', 'expected']);

/**
 * Puts begins and ends together. Operations come in the order of their ends; those without one come last. Holds what is under way
 * alone, and the numbers of processes that have ended with `info`.
 */
export class CallPairer {
  readonly #source: string;
  readonly #underWay = new Map<number, { readonly invoke: HistoryOperation; line: number }>();
  readonly #ended = new Set<number>();
  #line = 0;
  #time = 0;

  constructor(source: string) {
    this.#source = source;
  }

  /**
   * @returns null: it has begun
   * @throws HistoryError no system could have made such a history: it was recorded wrongly
   */
  take(operation: HistoryOperation): Call | null {
    const line = this.#line;
    this.#line += 1;
    const { process, type, f, time } = operation;
    if (time < this.#time) throw this.#wrong(line, `time goes back, from ${this.#time} to ${time}`);
    this.#time = time;
    if (this.#ended.has(process)) {
      throw this.#wrong(line, `process ${process} goes on after "info"; it needs a new number`);
    }
    const begun = this.#underWay.get(process);
    if (type === 'invoke') {
      if (begun !== undefined) {
        throw this.#wrong(
          line,
          `process ${process} begins ${f} before ${begun.invoke.f} has ended`,
        );
      }
      this.#underWay.set(process, { invoke: operation, line });
      return null;
    }
    if (SEEN_ALONE.has(f)) return toCall(operation, operation, line);
    if (begun === undefined || begun.invoke.f !== f) {
      throw this.#wrong(line, `process ${process} ends ${f}, which it has not begun`);
    }
    this.#underWay.delete(process);
    if (type === 'info') this.#ended.add(process);
    return toCall(begun.invoke, operation, begun.line);
  }

  /** Those that the history does not tell the end of. */
  rest(): Call[] {
    return [...this.#underWay.values()].map(({ invoke, line }) => toCall(invoke, null, line));
  }

  #wrong(line: number, what: string): HistoryError {
    return new HistoryError(`${this.#source}, operation ${line + 1}`, what);
  }
}

function toCall(invoke: HistoryOperation, completion: HistoryOperation | null, line: number): Call {
  const outcome =
    completion === null || completion.type === 'invoke' ? ('info' as const) : completion.type;
  return {
    process: invoke.process,
    f: invoke.f,
    key: invoke.key ?? completion?.key ?? '',
    outcome,
    asked: invoke.value,
    answer: completion === null ? undefined : completion.value,
    begin: invoke.time,
    end: completion === null || outcome === 'info' ? Number.POSITIVE_INFINITY : completion.time,
    invoke,
    completion,
    line,
  };
}

/**
 * All operations of a history, in the order of their ends.
 * @throws HistoryError
 */
export async function* callsOf(history: HistoryReader): AsyncGenerator<Call> {
  const pairer = new CallPairer(history.source);
  for await (const operation of history) {
    const call = pairer.take(operation);
    if (call !== null) yield call;
  }
  yield* pairer.rest();
}

/** The lines of an operation. */
export function linesOfCall({ invoke, completion }: Call): HistoryOperation[] {
  return completion === null || completion === invoke ? [invoke] : [invoke, completion];
}

/** The lines of several, in the order of time. */
export function linesOfCalls(calls: Iterable<Call>): HistoryOperation[] {
  const lines = new Set<HistoryOperation>();
  for (const call of new Set(calls)) for (const line of linesOfCall(call)) lines.add(line);
  return [...lines].sort((a, b) => a.time - b.time);
}
