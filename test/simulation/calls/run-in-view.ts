import { asBalsaError, type BalsaError } from '../../../src/base/errors.js';
import type { Mode } from '../../../src/base/operation.js';
import { CallView } from '../../../src/compute/call-view.js';
import type { Execution, ProcedureCall, Source } from '../../../src/compute/execution.js';

/** Runs a function of ours as the sandbox would run code. @param run gives what is the result, as JSON */
export function runInView(
  call: ProcedureCall,
  mode: Mode,
  source: Source,
  run: (view: CallView, args: unknown) => unknown,
): Execution {
  const view = new CallView(source, call.limits, mode, call.origin);
  const { logs } = view;
  const failed = (error: BalsaError): Execution => ({
    ...{ ok: false, error, logs, reads: view.effects() },
  });
  try {
    const result = JSON.stringify(run(view, JSON.parse(call.args)));
    if (view.failure !== null) return failed(view.failure);
    return { ok: true, logs, result, effects: view.effects() };
  } catch (cause) {
    return failed(view.failure ?? asBalsaError(cause));
  }
}
