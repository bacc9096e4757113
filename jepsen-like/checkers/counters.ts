import { type Call, callsOf } from './calls.js';
import { ChangeBounds } from './change-bounds.js';
import type { Checker } from './checker.js';
import { Findings } from './findings.js';
import { judgeLedger } from './ledger/judge.js';
import { changeOf, type Ledger } from './ledger/ledger.js';
import { ToldInTheEnd } from './told-in-the-end.js';
import { numberOf, seconds } from './values.js';

interface Counter {
  readonly adds: Call[];
  readonly reads: Call[];
}

/**
 * A counter: each read is at least what had certainly been added before it began, together with all that may have been subtracted by
 * its end, and at most the other way round. An addition of unknown outcome may count from its begin on, or never; when it
 * was seen it counts from then on, and some of those must come to what was seen ({@link judgeLedger}). The bounds are those of Jepsen's
 * counter checker.
 */
export function counterChecker(): Checker {
  return {
    name: 'counter',
    check: async (history, watch) => {
      const findings = new Findings('counter');
      const byKey = new Map<string, Counter>();
      const told = new ToldInTheEnd();
      for await (const call of callsOf(history)) {
        if (call.f !== 'add' && call.f !== 'read') continue;
        findings.operations += 1;
        if (call.f === 'add') told.wrote(call);
        else told.read(call);
        const counter = byKey.get(call.key) ?? { adds: [], reads: [] };
        byKey.set(call.key, counter);
        if (call.f === 'add' && call.outcome !== 'fail') counter.adds.push(call);
        if (call.f === 'read' && call.outcome === 'ok') counter.reads.push(call);
      }
      let reads = 0;
      for (const [key, counter] of byKey) {
        reads += counter.reads.length;
        judge(findings, key, counter);
      }
      const doubts = [told.doubt('the counter')];
      for (const ledger of ledgersOf(byKey, watch !== undefined)) {
        doubts.push((await judgeLedger(findings, ledger, watch)).doubt);
      }
      const doubt = doubts.find((one) => one !== null) ?? null;
      const shown = `${reads} reads of ${byKey.size} counters are within what was certainly and what was possibly added`;
      return findings.verdict(shown, { doubt, details: { reads } });
    },
  };
}

/** With the watch all together, so that it is gone through once; otherwise each by itself. */
function ledgersOf(byKey: ReadonlyMap<string, Counter>, isTogether: boolean): Ledger[] {
  const ledgers = [...byKey].map(([key, { adds, reads }]) => ({
    changes: adds.map((call) => changeOf(call, new Map([[key, numberOf(call, call.asked)]]))),
    reads: reads.map((call) => ({ call, values: new Map([[key, numberOf(call, call.answer)]]) })),
  }));
  if (!isTogether) return ledgers;
  return [
    {
      changes: ledgers.flatMap(({ changes }) => changes),
      reads: ledgers.flatMap(({ reads }) => reads),
    },
  ];
}

function judge(
  findings: Findings,
  key: string,
  { adds, reads }: { readonly adds: readonly Call[]; readonly reads: readonly Call[] },
): void {
  const bounds = new ChangeBounds(
    adds.map((call) => ({ by: numberOf(call, call.asked), begin: call.begin, end: call.end })),
  );
  for (const call of reads) {
    const value = numberOf(call, call.answer);
    const { low, high } = bounds.of(call);
    if (value >= low && value <= high) continue;
    const what = value < low ? 'lost additions' : 'counted too much';
    const text = `counter "${key}" was read as ${value} at ${seconds(call.end)}, and must be from ${low} to ${high}`;
    findings.note(what, text, [call]);
  }
}
