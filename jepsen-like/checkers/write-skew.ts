import { type Call, callsOf } from './calls.js';
import type { Checker } from './checker.js';
import { Findings } from './findings.js';
import { listOf, seconds, show, valueText } from './values.js';

/**
 * Adya's G2 as Jepsen tests it: of each pair two may come, each of which first looks that the other is not there. In a serializable store
 * one of them succeeds at most. Reads see one at most, and the one that was told that it succeeded.
 */
export function writeSkewChecker(): Checker {
  return {
    name: 'write-skew',
    check: async (history) => {
      const findings = new Findings('write-skew');
      const pairs = new Map<string, { inserts: Call[]; reads: Call[] }>();
      for await (const call of callsOf(history)) {
        if (call.f !== 'insert' && call.f !== 'read') continue;
        findings.operations += 1;
        const pair = pairs.get(call.key) ?? { inserts: [], reads: [] };
        pairs.set(call.key, pair);
        if (call.f === 'insert') pair.inserts.push(call);
        else if (call.outcome === 'ok') pair.reads.push(call);
      }
      let contended = 0;
      for (const [key, { inserts, reads }] of pairs) {
        if (inserts.length > 1) contended += 1;
        judgeInserts(findings, key, inserts);
        for (const read of reads) judgeRead(findings, read, inserts);
      }
      const doubt = contended === 0 ? 'no pair was tried by two' : null;
      const shown = `of ${contended} pairs that two tried for, each has one at most`;
      return findings.verdict(shown, { doubt, details: { pairs: pairs.size, contended } });
    },
  };
}

function judgeInserts(findings: Findings, key: string, inserts: readonly Call[]): void {
  const done = inserts.filter(({ outcome }) => outcome === 'ok');
  if (done.length < 2) return;
  const who = done.map(({ asked }) => show(asked)).join(' and ');
  findings.note('write skew', `pair "${key}" has ${who}, each told that it is alone`, done);
}

function judgeRead(findings: Findings, read: Call, inserts: readonly Call[]): void {
  const there = listOf(read, read.answer).map(valueText);
  const when = `pair "${read.key}" was read at ${seconds(read.end)} as ${show(read.answer)}`;
  if (there.length > 1) findings.note('write skew', when, [...inserts, read]);
  for (const insert of inserts) {
    const isThere = there.includes(valueText(insert.asked));
    if (insert.outcome === 'fail' && isThere) {
      findings.note('of nobody', `${when}; that was told to have failed`, [insert, read]);
    }
    if (insert.outcome === 'ok' && insert.end < read.begin && !isThere) {
      findings.note('lost', `${when}, without ${show(insert.asked)}`, [insert, read]);
    }
  }
}
