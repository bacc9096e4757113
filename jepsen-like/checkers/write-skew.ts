import { type Call, callsOf } from './calls.js';
import type { Checker } from './checker.js';
import { Findings } from './findings.js';
import { listOf, seconds, show, valueText } from './values.js';

/**
 * Adya's G2 as Jepsen tests it: of each pair two may come, each of which first looks that the other is not there. In a serializable store
 * one of them succeeds at most. Reads see one at most, always the same, and the one that was told that it succeeded.
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
        judgeInserts(findings, key, { inserts, reads });
        for (const read of reads) judgeRead(findings, read, inserts);
        judgeGone(findings, key, reads);
      }
      const doubt = contended === 0 ? 'no pair was tried by two' : null;
      const shown = `of ${contended} pairs that two tried for, each has one at most`;
      return findings.verdict(shown, { doubt, details: { pairs: pairs.size, contended } });
    },
  };
}

/** Who was told to be in, or was seen there: one at all times, since nobody goes out again. */
function judgeInserts(
  findings: Findings,
  key: string,
  { inserts, reads }: { readonly inserts: readonly Call[]; readonly reads: readonly Call[] },
): void {
  const byWho = new Map<string, Call>();
  for (const call of inserts) {
    if (call.outcome === 'ok') byWho.set(valueText(call.asked), call);
  }
  for (const read of reads) {
    for (const one of listOf(read, read.answer)) {
      if (!byWho.has(valueText(one))) byWho.set(valueText(one), read);
    }
  }
  if (byWho.size < 2) return;
  const who = [...byWho.keys()].join(' and ');
  const text = `pair "${key}" has ${who}, each told that it is alone, or seen there`;
  findings.note('write skew', text, byWho.values());
}

/** What was seen is there from then on. */
function judgeGone(findings: Findings, key: string, reads: readonly Call[]): void {
  let seen: Call | null = null;
  // In the order of their ends.
  for (const read of reads) {
    const isEmpty = listOf(read, read.answer).length === 0;
    if (!isEmpty) seen ??= read;
    else if (seen !== null && seen.end < read.begin) {
      const text = `pair "${key}" was read as ${show(seen.answer)}, and as empty at ${seconds(read.begin)}`;
      findings.note('lost', text, [seen, read]);
      return;
    }
  }
}

function judgeRead(findings: Findings, read: Call, inserts: readonly Call[]): void {
  const there = listOf(read, read.answer).map(valueText);
  const when = `pair "${read.key}" was read at ${seconds(read.end)} as ${show(read.answer)}`;
  for (const one of there) {
    if (inserts.some(({ asked, begin }) => valueText(asked) === one && begin <= read.end)) continue;
    findings.note('of nobody', `${when}, and nobody had tried to put ${one} there`, [read]);
  }
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
