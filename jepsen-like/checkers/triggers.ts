import type { HistoryReader } from '../history/history-reader.js';
import type { FaultRecord } from '../history/operation.js';
import { type Call, callsOf, linesOfCall } from './calls.js';
import type { Checker } from './checker.js';
import { Findings } from './findings.js';
import { ToldInTheEnd } from './told-in-the-end.js';
import { fieldsOf, listOf, numberOf, seconds, valueText } from './values.js';

export interface TriggerOptions {
  /** While clocks are set wrong, and after it, what is due is early or late by them. */
  readonly faults?: readonly FaultRecord[];
  /** By how much a clock may run too fast, as a share. Default: 0.1. */
  readonly clockShare?: number;
  /** In the watch, under this and an id, it is counted how often that has fired. Default: `fired/`. */
  readonly firedPrefix?: string;
}

interface Cause {
  readonly call: Call;
  /** Not before so many nanoseconds after it was asked for. */
  readonly delay: number;
}

interface Source {
  readonly causes: Map<string, Cause>;
  readonly lists: Call[];
}

/**
 * Triggers and schedules: what was caused fires exactly once. In every list of what has fired each cause is there at most once (twice), none
 * that nobody caused, that was told to have failed, or that was not yet due (of nobody, early); the last list has all that
 * were acknowledged, or due, before it was asked for (lost), and all that lists before it had (fired, then not). So
 * has the watch, which tells as well when each has fired.
 */
export function triggerChecker(options: TriggerOptions = {}): Checker {
  const { faults = [], clockShare = 0.1, firedPrefix = 'fired/' } = options;
  const wrongFrom = Math.min(
    ...faults.filter(({ fault }) => fault.startsWith('clock')).map(({ time }) => time),
  );
  const isEarly = ({ call, delay }: Cause, time: number): boolean =>
    time < call.begin + (time < wrongFrom ? delay * (1 - clockShare) : 0);
  return {
    name: 'triggers',
    check: async (history, watch) => {
      const findings = new Findings('triggers');
      const sources = new Map<string, Source>();
      const told = new ToldInTheEnd();
      for await (const call of callsOf(history)) {
        if (!['cause', 'due', 'fired'].includes(call.f)) continue;
        findings.operations += 1;
        const source: Source = sources.get(call.key) ?? { causes: new Map(), lists: [] };
        sources.set(call.key, source);
        if (call.f === 'fired') {
          told.read(call);
          if (call.outcome === 'ok') source.lists.push(call);
        } else {
          const { id, delay } = causeOf(call);
          source.causes.set(id, { call, delay });
        }
      }
      let causes = 0;
      for (const source of sources.values()) {
        causes += source.causes.size;
        noteUntold(told, source);
        for (const list of source.lists) judgeList(findings, source.causes, { list, isEarly });
        judgeLost(findings, source.causes, source.lists.at(-1));
        judgeGone(findings, source.lists);
      }
      const all = new Map([...sources.values()].flatMap((source) => [...source.causes]));
      if (watch !== undefined) await judgeWatch(findings, all, { watch, firedPrefix, isEarly });
      const doubt = told.doubt('the causes');
      return findings.verdict(`${causes} causes fired once each`, { doubt, details: { causes } });
    },
  };
}

/** `id`, or `{id, inMs}`. */
function causeOf(call: Call): { readonly id: string; readonly delay: number } {
  const { asked } = call;
  if (typeof asked !== 'object' || asked === null) return { id: valueText(asked), delay: 0 };
  const { id, inMs } = fieldsOf(call, asked);
  return { id: valueText(id), delay: inMs === undefined ? 0 : numberOf(call, inMs) * 1e6 };
}

/** Of what has fired by the last list, that list tells. */
function noteUntold(told: ToldInTheEnd, { causes, lists }: Source): void {
  const last = lists.at(-1);
  const fired = new Set(last === undefined ? [] : listOf(last, last.answer).map(valueText));
  for (const [id, { call, delay }] of causes) {
    if (!fired.has(id)) told.wrote(call, call.end + delay);
  }
}

type IsEarly = (cause: Cause, time: number) => boolean;

function judgeList(
  findings: Findings,
  causes: ReadonlyMap<string, Cause>,
  { list, isEarly }: { readonly list: Call; readonly isEarly: IsEarly },
): void {
  const seen = new Set<string>();
  for (const id of listOf(list, list.answer).map(valueText)) {
    const cause = causes.get(id);
    const calls = cause === undefined ? [list] : [cause.call, list];
    if (seen.has(id)) {
      const text = `${id} fired twice, as read at ${seconds(list.end)}`;
      findings.note('twice', text, calls);
    }
    seen.add(id);
    if (cause === undefined || cause.call.outcome === 'fail') {
      findings.note('of nobody', `${id} fired, and nothing has caused it`, calls);
    } else if (isEarly(cause, list.end)) {
      findings.note('early', `${id} had fired by ${seconds(list.end)}, ${dueText(cause)}`, calls);
    }
  }
}

function dueText({ call, delay }: Cause): string {
  return `and was due at ${seconds(call.begin + delay)}`;
}

function judgeLost(
  findings: Findings,
  causes: ReadonlyMap<string, Cause>,
  list: Call | undefined,
): void {
  if (list === undefined) return;
  const fired = new Set(listOf(list, list.answer).map(valueText));
  for (const [id, { call, delay }] of causes) {
    if (call.outcome !== 'ok' || call.end + delay >= list.begin || fired.has(id)) continue;
    const text = `${id} was caused at ${seconds(call.end)}, and had not fired at ${seconds(list.begin)}`;
    findings.note('lost', text, [call, list]);
  }
}

/** @param lists in the order of their ends */
function judgeGone(findings: Findings, lists: readonly Call[]): void {
  const firstWith = new Map<string, Call>();
  for (const list of lists) {
    const fired = new Set(listOf(list, list.answer).map(valueText));
    for (const [id, first] of firstWith) {
      if (fired.has(id) || first.end >= list.begin) continue;
      const text = `${id} had fired by ${seconds(first.end)}, and had not at ${seconds(list.begin)}`;
      findings.note('fired, then not', text, [first, list]);
      return;
    }
    for (const id of fired) if (!firstWith.has(id)) firstWith.set(id, list);
  }
}

async function judgeWatch(
  findings: Findings,
  causes: ReadonlyMap<string, Cause>,
  options: {
    readonly watch: HistoryReader;
    readonly firedPrefix: string;
    readonly isEarly: IsEarly;
  },
): Promise<void> {
  const { watch, firedPrefix, isEarly } = options;
  const counts = new Map<string, number>();
  for await (const event of watch) {
    const { f, key = '', value, time } = event;
    if (f !== 'event' || !key.startsWith(firedPrefix)) continue;
    const id = valueText(key.slice(firedPrefix.length));
    const count = Number(value ?? 0);
    const before = counts.get(id) ?? 0;
    counts.set(id, count);
    const cause = causes.get(id);
    const found =
      count < before
        ? 'fired, then not'
        : count > 1
          ? 'twice'
          : cause !== undefined && isEarly(cause, time)
            ? 'early'
            : null;
    if (found === null) continue;
    const due = cause === undefined ? '' : `, ${dueText(cause)}`;
    const text = `${id} had fired ${count} times as told at ${seconds(time)}${due}`;
    findings.noteLines(found, text, [
      ...(cause === undefined ? [] : linesOfCall(cause.call)),
      event,
    ]);
  }
}
