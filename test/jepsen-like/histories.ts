import type { Checker, Verdict } from '../../jepsen-like/checkers/checker.js';
import { memoryHistory } from '../../jepsen-like/history/history-reader.js';
import type { HistoryOperation } from '../../jepsen-like/history/operation.js';

/** For tests: an operation as one line of text. */
export interface Planned {
  readonly begin: number;
  /** `null`: it never ends. */
  readonly end: number | null;
  readonly f: string;
  readonly type?: 'ok' | 'fail' | 'info';
  readonly key?: string;
  readonly asked?: unknown;
  readonly answer?: unknown;
  readonly process?: number;
  /** Fields of the end. */
  readonly more?: Partial<HistoryOperation>;
}

/** One that ended well, unless `more` says otherwise. */
export function op(
  begin: number,
  end: number | null,
  f: string,
  asked?: unknown,
  answer?: unknown,
  more: Partial<Planned> = {},
): Planned {
  return { begin, end, f, asked, answer, ...more };
}

export const INFO = { type: 'info' } as const;
export const FAIL = { type: 'fail' } as const;

/** The lines, in the order of time. Without `process` each operation has one of its own. */
export function lines(...planned: readonly Planned[]): HistoryOperation[] {
  const all: { readonly line: HistoryOperation; readonly isBegin: boolean }[] = [];
  planned.forEach((plan, number) => {
    const { begin, end, f, type = 'ok', key, asked, answer } = plan;
    const common = {
      process: plan.process ?? 1000 + number,
      f,
      ...(key === undefined ? {} : { key }),
    };
    all.push({ line: { ...common, type: 'invoke', time: begin, value: asked }, isBegin: true });
    if (end === null) return;
    const value = answer === undefined ? asked : answer;
    all.push({ line: { ...common, type, time: end, value, ...plan.more }, isBegin: false });
  });
  return all
    .sort((a, b) => a.line.time - b.line.time || Number(b.isBegin) - Number(a.isBegin))
    .map(({ line }) => line);
}

/** An event as the watch of the whole store tells it. */
export function event(revision: number, key: string, value: unknown, time = 0): HistoryOperation {
  return { process: 0, type: 'ok', f: 'event', key, value, revision, time };
}

/** What a checker says of these operations. */
export async function judge(
  checker: Checker,
  history: readonly HistoryOperation[],
  watch?: readonly HistoryOperation[],
): Promise<Verdict> {
  const reader = watch === undefined ? undefined : memoryHistory(watch, 'watch');
  return checker.check(memoryHistory(history), reader);
}

/** The kinds of anomaly that a verdict names; empty: it is valid. */
export function anomaliesOf(verdict: Verdict): string[] {
  if (verdict.valid !== false) return verdict.valid === true ? [] : [`unknown: ${verdict.text}`];
  return Object.keys((verdict.details as { anomalies: object }).anomalies);
}

/** Checks an anomaly in the way that a user meets it: named, with the operations that show it. */
export async function found(
  checker: Checker,
  history: readonly HistoryOperation[],
  watch?: readonly HistoryOperation[],
): Promise<string[]> {
  return anomaliesOf(await judge(checker, history, watch));
}
