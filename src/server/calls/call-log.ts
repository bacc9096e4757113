import type { Clock } from '../../base/clock.js';
import { cutText } from '../../base/cut-text.js';
import type { CallAnswer, CallDone } from './call-types.js';

/** One line that a procedure logged, or the error that it ended with. */
export interface LogLine {
  /** Milliseconds since 1970, by the clock of the replica. */
  readonly timeMs: number;
  readonly procedure: string;
  readonly line: string;
  readonly isError: boolean;
}

/** How the calls of one procedure went, on this replica, since it was started. */
export interface ProcedureStats {
  readonly procedure: string;
  readonly calls: number;
  /** Whose answer was an error. */
  readonly failures: number;
  /** From when the call came until it was answered, in milliseconds. */
  readonly meanMs: number;
  readonly maxMs: number;
}

/** Lines that are kept; the oldest go first. */
const LINES_MAX = 1000;
/** Of all lines together, in UTF-8: as `LINES_MAX`. */
const BYTES_MAX = 2 * 1024 * 1024;
/** Of one line; what is longer is cut. */
const LINE_BYTES_MAX = 8192;
/** Procedures of which figures are kept. */
const PROCEDURES_MAX = 1000;

interface Figures {
  calls: number;
  failures: number;
  totalMs: number;
  maxMs: number;
}

/** What procedures have logged lately on this replica, and figures of their calls. */
export class CallLog {
  readonly #clock: Clock;
  readonly #lines: LogLine[] = [];
  #bytes = 0;
  readonly #figures = new Map<string, Figures>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  about(topic: 'logs' | 'stats'): readonly LogLine[] | readonly ProcedureStats[] {
    return topic === 'logs' ? [...this.#lines] : this.#stats();
  }

  #stats(): readonly ProcedureStats[] {
    return [...this.#figures].map(([procedure, { calls, failures, totalMs, maxMs }]) => ({
      procedure,
      ...{ calls, failures, maxMs },
      meanMs: totalMs / calls,
    }));
  }

  /** What went wrong with a call that nobody waits for. */
  note(procedure: string, line: string): void {
    this.#add({ timeMs: this.#clock.wallMs(), procedure, line, isError: true });
  }

  /**
   * `done`, with a note of the answer that it is given.
   * @param options `tellsErrors: false`: whoever asks says more of them with {@link CallLog.note}
   */
  noting(procedure: string, done: CallDone, { tellsErrors = true } = {}): CallDone {
    const startedMs = this.#clock.monotonicMs();
    return (answer) => {
      this.#count(procedure, answer, this.#clock.monotonicMs() - startedMs);
      this.#note(procedure, answer, tellsErrors);
      done(answer);
    };
  }

  #count(procedure: string, answer: CallAnswer, ms: number): void {
    const figures = this.#figuresOf(procedure, answer);
    if (figures !== null) {
      figures.calls += 1;
      // Of what nobody has asked for, whoever made the call has more to say than that it failed.
      if (!answer.ok || (answer.failure ?? null) !== null) figures.failures += 1;
      figures.totalMs += ms;
      figures.maxMs = Math.max(figures.maxMs, ms);
    }
  }

  #note(procedure: string, answer: CallAnswer, tellsErrors: boolean): void {
    if (answer.ok && answer.logs.length === 0) return;
    const timeMs = this.#clock.wallMs();
    for (const line of answer.logs) this.#add({ timeMs, procedure, line, isError: false });
    if (answer.ok || !tellsErrors) return;
    const { code, message } = answer.error;
    this.#add({ timeMs, procedure, line: `${code}: ${message}`, isError: true });
  }

  /** Names for which there is no procedure have no figures: anybody can think of any number of them. */
  #figuresOf(procedure: string, answer: CallAnswer): Figures | null {
    const known = this.#figures.get(procedure);
    if (known !== undefined) return known;
    if (this.#figures.size >= PROCEDURES_MAX || isOfNoProcedure(procedure, answer)) return null;
    const figures = { calls: 0, failures: 0, totalMs: 0, maxMs: 0 };
    this.#figures.set(procedure, figures);
    return figures;
  }

  #add(line: LogLine): void {
    const cut = { ...line, line: cutText(line.line, LINE_BYTES_MAX) };
    this.#lines.push(cut);
    this.#bytes += bytesOf(cut);
    while (this.#lines.length > LINES_MAX || this.#bytes > BYTES_MAX) {
      const oldest = this.#lines.shift();
      if (oldest !== undefined) this.#bytes -= bytesOf(oldest);
    }
  }
}

/** Not of one whose code has asked for another one that there is not. */
function isOfNoProcedure(procedure: string, answer: CallAnswer): boolean {
  if (answer.ok) return false;
  const { code, details } = answer.error;
  return code === 'PROCEDURE_NOT_FOUND' && details.procedure === procedure;
}

function bytesOf({ procedure, line }: LogLine): number {
  return Buffer.byteLength(procedure) + Buffer.byteLength(line);
}
