import { type CallRecord, costOf } from '../base/call.js';
import { asBalsaError } from '../base/errors.js';
import { isVerdict, packRecord, recordOf } from './call-record.js';
import type {
  CallSupplement,
  Execution,
  GroupBounds,
  GroupCall,
  GroupMember,
  ProcedureCall,
  Source,
} from './execution.js';
import { GroupOverlay, OverlaySource } from './group-overlay.js';

export interface GroupHost {
  readonly monotonicMs: () => number;
  /** Runs one call that may write, the n-th of the group, from 0. */
  readonly run: (call: ProcedureCall, source: Source, n: number) => Promise<Execution>;
  /** What goes into the log. */
  readonly onRecord?: (record: CallRecord) => void;
}

/** Runs the calls of one group, see `Executor.runGroup`: wherever the code runs. */
export async function runGroup(
  calls: readonly GroupCall[],
  source: Source,
  { msMax, bytesMax, rangeCostMax, recordBytesMax }: GroupBounds,
  { monotonicMs, run, onRecord }: GroupHost,
): Promise<readonly GroupMember[]> {
  const overlay = new GroupOverlay();
  const members: GroupMember[] = [];
  const untilMs = monotonicMs() + msMax;
  let bytes = 0;
  let rangeCost = 0;
  let place = 0;
  for (const { call, identity, supplement } of calls) {
    const isFull = bytes >= bytesMax || rangeCost >= rangeCostMax || monotonicMs() >= untilMs;
    if (members.length > 0 && isFull) break;
    const seen = new OverlaySource(source, overlay);
    const execution = await run(call, seen, members.length);
    if (seen.isBlocked) break;
    const { logs } = execution;
    if (!execution.ok && !isVerdict(execution)) {
      members.push({ ok: false, error: execution.error, logs });
      continue;
    }
    try {
      const { hash } = call.bundle;
      const made = recordOf(identity, hash, execution, seen.dependsOn, supplement);
      const record = packRecord(made, recordBytesMax);
      overlay.add(made, place);
      place += 1;
      onRecord?.(made);
      bytes += record.byteLength;
      rangeCost += costOf(made.ranges);
      members.push({ ok: true, record, logs, failure: failureOf(execution, supplement) });
    } catch (cause) {
      members.push({ ok: false, error: asBalsaError(cause), logs });
    }
  }
  return members;
}

/** See {@link GroupMember}. */
export function failureOf(execution: Execution, supplement: CallSupplement | null): string | null {
  if (execution.ok || !supplement?.evenIfFailed) return null;
  return `${execution.error.code}: ${execution.error.message}`;
}
