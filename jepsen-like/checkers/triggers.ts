import { type Call, callsOf } from './calls.js';
import type { Checker } from './checker.js';
import { Findings } from './findings.js';
import { ToldInTheEnd } from './told-in-the-end.js';
import { listOf, seconds, valueText } from './values.js';

interface Source {
  readonly causes: Map<string, Call>;
  readonly lists: Call[];
}

/**
 * Triggers and schedules: what was caused fires exactly once. In every list of what has fired each cause is there at most once (twice), none
 * that nobody caused, that was told to have failed, or that was not yet due (of nobody, early); the last list has all that
 * were acknowledged, or due, before it was asked for (lost).
 */
export function triggerChecker(): Checker {
  return {
    name: 'triggers',
    check: async (history) => {
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
          told.wrote(call);
          source.causes.set(valueText(call.asked), call);
        }
      }
      let causes = 0;
      for (const source of sources.values()) {
        causes += source.causes.size;
        for (const list of source.lists) judgeList(findings, source.causes, list);
        judgeLost(findings, source.causes, source.lists.at(-1));
      }
      const doubt = told.doubt('the causes');
      return findings.verdict(`${causes} causes fired once each`, { doubt, details: { causes } });
    },
  };
}

function judgeList(findings: Findings, causes: ReadonlyMap<string, Call>, list: Call): void {
  const seen = new Set<string>();
  for (const id of listOf(list, list.answer).map(valueText)) {
    const cause = causes.get(id);
    const calls = cause === undefined ? [list] : [cause, list];
    if (seen.has(id)) {
      const text = `${id} fired twice, as read at ${seconds(list.end)}`;
      findings.note('twice', text, calls);
    }
    seen.add(id);
    if (cause === undefined || cause.outcome === 'fail') {
      findings.note('of nobody', `${id} fired, and nothing has caused it`, calls);
    } else if (cause.begin > list.end) {
      const text = `${id} had fired by ${seconds(list.end)}, and was due at ${seconds(cause.begin)}`;
      findings.note('early', text, calls);
    }
  }
}

function judgeLost(
  findings: Findings,
  causes: ReadonlyMap<string, Call>,
  list: Call | undefined,
): void {
  if (list === undefined) return;
  const fired = new Set(listOf(list, list.answer).map(valueText));
  for (const [id, cause] of causes) {
    if (cause.outcome !== 'ok' || cause.end >= list.begin || fired.has(id)) continue;
    const text = `${id} was caused at ${seconds(cause.end)}, and had not fired at ${seconds(list.begin)}`;
    findings.note('lost', text, [cause, list]);
  }
}
