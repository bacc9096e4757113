import type { CallRecord } from '../base/call.js';
import { unpackCall } from '../base/call-codec.js';
import { unpackDelta } from '../base/delta-codec.js';
import { BalsaError } from '../base/errors.js';
import type { JobStep } from '../base/job.js';
import type { WriteBatch, WriteOperation } from '../base/operation.js';
import { unpackOperations } from '../base/operation-codec.js';
import { unpackCommand } from './command.js';
import type { ParsedJobStep, ParsedMerge, SystemOperation } from './types.js';

/** The command of a log entry. Each batch is read once, when it is first asked for. */
export interface ParsedCommand {
  readonly version: number;
  readonly timeMs: number;
  /** 0: see `Command`, or it is older. */
  readonly wallMs: number;
  readonly system: readonly SystemOperation[];
  readonly batches: readonly ParsedBatch[];
  readonly calls: readonly (CallRecord | BalsaError)[];
  readonly merge: ParsedMerge | null;
  readonly jobs: readonly ParsedJobStep[];
}

const NO_SYSTEM: readonly SystemOperation[] = [];
const NO_CALLS: readonly Uint8Array[] = [];
const NO_STEPS: readonly JobStep[] = [];

/** @throws BalsaError `VERSION_UNSUPPORTED`, `FRAME_INVALID`: the replica must stop */
export function parseCommand(payload: Uint8Array, versionMax: number): ParsedCommand {
  const command = unpackCommand(payload, versionMax);
  const { version, timeMs, system = NO_SYSTEM, batches, calls = NO_CALLS } = command;
  const { merge = null, jobs = NO_STEPS, wallMs = 0 } = command;
  return {
    version,
    timeMs,
    wallMs,
    system,
    batches: batches.map((batch) => new ParsedBatch(batch)),
    calls: calls.map((call) => orInvalid(() => unpackCall(call))),
    merge: merge && {
      ...merge,
      deltas: merge.deltas.map((delta) => orInvalid(() => unpackDelta(delta))),
    },
    jobs: jobs.map((step) => ({ step, call: callOf(step) })),
  };
}

function callOf(step: JobStep): CallRecord | BalsaError | null {
  if (step.type !== 'end' || (step.end.type !== 'result' && step.end.type !== 'cut')) return null;
  const { call } = step.end;
  return call && orInvalid(() => unpackCall(call));
}

export class ParsedBatch {
  readonly batch: WriteBatch;
  #operations: readonly WriteOperation[] | BalsaError | null = null;

  constructor(batch: WriteBatch) {
    this.batch = batch;
  }

  /** The operations, or the error that every replica answers alike. */
  get operations(): readonly WriteOperation[] | BalsaError {
    this.#operations ??= orInvalid(() => unpackOperations(this.batch.operations));
    return this.#operations;
  }
}

/** What `read` gives, or the error that every replica answers alike. */
function orInvalid<T>(read: () => T): T | BalsaError {
  try {
    return read();
  } catch (error) {
    if (error instanceof BalsaError && error.code === 'FRAME_INVALID') {
      return error.withOutcome('not-applied');
    }
    throw error;
  }
}
