import { type Call, callsOf } from './calls.js';
import type { Checker } from './checker.js';
import { Findings } from './findings.js';
import { registerChecker } from './register/registers.js';
import { fieldsOf, seconds, show, valueText } from './values.js';

/**
 * Large values, by the hash of their content as it was sent and as it arrived: what is read is what somebody has written to this key, whole
 * (damaged). And, hash for value, the keys are linearizable registers.
 */
export function largeValueChecker(): Checker {
  return {
    name: 'large-values',
    check: async (history) => {
      const findings = new Findings('large-values');
      const written = new Map<string, Map<string, Call>>();
      const reads: Call[] = [];
      let bytesMax = 0;
      for await (const call of callsOf(history)) {
        if (call.f === 'put' && call.outcome !== 'fail') {
          const values = written.get(call.key) ?? new Map<string, Call>();
          written.set(call.key, values);
          values.set(valueText(call.asked), call);
          bytesMax = Math.max(bytesMax, Number(fieldsOf(call, call.asked).bytes));
        } else if (call.f === 'get' && call.outcome === 'ok') reads.push(call);
        else continue;
        findings.operations += 1;
      }
      for (const read of reads) {
        if (read.answer === null || read.answer === undefined) continue;
        if (written.get(read.key)?.has(valueText(read.answer)) === true) continue;
        const text = `"${read.key}" was read at ${seconds(read.end)} as ${show(read.answer)}, which nobody has written to it`;
        findings.note('damaged', text, [read]);
      }
      const doubt = reads.length === 0 ? 'nothing was read' : null;
      const shown = `${reads.length} reads gave whole values, of up to ${bytesMax} bytes, in a linearizable order`;
      const verdict = findings.verdict(shown, { doubt, details: { bytesMax } });
      if (verdict.valid !== true) return verdict;
      const register = await registerChecker().check(history);
      return register.valid === true ? verdict : { ...register, checker: 'large-values' };
    },
  };
}
