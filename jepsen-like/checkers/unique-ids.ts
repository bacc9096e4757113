import { type Call, callsOf } from './calls.js';
import type { Checker } from './checker.js';
import { Findings } from './findings.js';
import { seconds, valueText } from './values.js';

/** No id is given out twice. `key` is the source of ids; those of different sources may be equal. */
export function uniqueIdsChecker(): Checker {
  return {
    name: 'unique-ids',
    check: async (history) => {
      const findings = new Findings('unique-ids');
      const given = new Map<string, Call>();
      for await (const call of callsOf(history)) {
        if (call.f !== 'generate') continue;
        findings.operations += 1;
        if (call.outcome !== 'ok') continue;
        const id = `${call.key}\n${valueText(call.answer)}`;
        const earlier = given.get(id);
        if (earlier === undefined) {
          given.set(id, call);
          continue;
        }
        const text = `${valueText(call.answer)} was given out at ${seconds(earlier.end)} and at ${seconds(call.end)}`;
        findings.note('twice', text, [earlier, call]);
      }
      const doubt = given.size === 0 ? 'no id was given out' : null;
      return findings.verdict(`${given.size} ids, all different`, { doubt });
    },
  };
}
