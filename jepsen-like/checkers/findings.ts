import type { HistoryOperation } from '../history/operation.js';
import { type Call, linesOfCalls } from './calls.js';
import type { Verdict } from './checker.js';

/** Those beyond are counted only. */
const KEPT_MAX = 20;

export interface Finding {
  /** What kind of thing is wrong, in a few words that are always the same. */
  readonly anomaly: string;
  readonly text: string;
  readonly operations: readonly HistoryOperation[];
}

/** What a checker finds wrong while it goes through a history. */
export class Findings {
  readonly #checker: string;
  readonly #kept: Finding[] = [];
  readonly #counts = new Map<string, number>();
  /** Operations that were judged. */
  operations = 0;

  constructor(checker: string) {
    this.#checker = checker;
  }

  /** @param calls the operations that show it by themselves */
  note(anomaly: string, text: string, calls: Iterable<Call> = []): void {
    this.noteLines(anomaly, text, linesOfCalls(calls));
  }

  noteLines(anomaly: string, text: string, operations: readonly HistoryOperation[]): void {
    this.#counts.set(anomaly, (this.#counts.get(anomaly) ?? 0) + 1);
    if (this.#kept.length < KEPT_MAX) this.#kept.push({ anomaly, text, operations });
  }

  get isEmpty(): boolean {
    return this.#counts.size === 0;
  }

  /**
   * @param shown what is true when nothing was found
   * @param doubt why it is not known that nothing is wrong; a finding stands whatever could not be looked at
   */
  verdict(shown: string, more: { doubt?: string | null; details?: object } = {}): Verdict {
    const base = { checker: this.#checker, operations: this.operations };
    const anomalies = Object.fromEntries(this.#counts);
    const first = this.#kept[0];
    if (first !== undefined) {
      const total = [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
      const others = total > 1 ? `; and ${total - 1} more` : '';
      const findings = this.#kept.map(({ anomaly, text }) => ({ anomaly, text }));
      return {
        ...base,
        valid: false,
        text: `${first.anomaly}: ${first.text}${others}`,
        details: { ...more.details, anomalies, findings },
        smallest: first.operations,
      };
    }
    const doubt = more.doubt ?? (this.operations === 0 ? 'there is nothing to judge' : null);
    const details = more.details === undefined ? {} : { details: more.details };
    if (doubt !== null) return { ...base, ...details, valid: 'unknown', text: doubt };
    return { ...base, ...details, valid: true, text: shown };
  }
}
