import type { CallReads, CallRecord, Effects, KeyRead, KeyWrite } from '../base/call.js';
import type { BalsaError } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { Mode } from '../base/operation.js';

/** What a call may use. Reaching one is answered with `PROCEDURE_LIMIT` and its name. */
export interface CallLimits {
  /** Time to compute, in milliseconds; waiting for the store, or for a processor, does not count (see `ComputeTime`). */
  readonly computeMsMax: number;
  /** Memory of all that the procedure holds at one time, its code among it. */
  readonly memoryBytesMax: number;
  readonly stackBytesMax: number;
  /** Keys read, ranges and their keys among them. */
  readonly readsMax: number;
  /** Keys and values read, together. */
  readonly readBytesMax: number;
  /** Keys written, and events. */
  readonly writesMax: number;
  /** Keys and values written, and events, together. */
  readonly writeBytesMax: number;
  readonly argsBytesMax: number;
  readonly resultBytesMax: number;
  readonly logLinesMax: number;
  /** In UTF-8. A longer line is cut. */
  readonly logLineBytesMax: number;
  /** Of what a call that failed says of it, in UTF-8: a longer message or reason is cut. */
  readonly errorBytesMax: number;
  /** As `errorBytesMax`, of the stack. */
  readonly errorStackBytesMax: number;
  /** Lines of the stack: those of the code itself come first. */
  readonly errorStackLinesMax: number;
  /** Of a cell, beyond which nothing more is added to it: `CELL_FULL`. */
  readonly cellBytesMax: number;
  /** Of a checkpoint of a task of a job, JSON. */
  readonly checkpointBytesMax: number;
}

export const CALL_LIMITS: CallLimits = {
  computeMsMax: 100,
  memoryBytesMax: 32 * 1024 * 1024,
  stackBytesMax: 256 * 1024,
  readsMax: 10_000,
  readBytesMax: 16 * 1024 * 1024,
  writesMax: 10_000,
  writeBytesMax: 4 * 1024 * 1024,
  argsBytesMax: 1024 * 1024,
  resultBytesMax: 1024 * 1024,
  logLinesMax: 100,
  logLineBytesMax: 1024,
  errorBytesMax: 4096,
  errorStackBytesMax: 8192,
  errorStackLinesMax: 10,
  cellBytesMax: LIMITS.cellBytesMax,
  checkpointBytesMax: LIMITS.checkpointBytesMax,
};

/** One key as the store has it. */
export interface StoredKey {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly modRevision: number;
}

export interface ScanQuery {
  readonly from: Uint8Array;
  /** `null`: to the end. */
  readonly to: Uint8Array | null;
  readonly keysMax: number;
  /** The first key beyond it is the last one of the answer. */
  readonly bytesMax: number;
}

export interface ScanAnswer {
  /** In the order of their keys. */
  readonly items: readonly StoredKey[];
  /** There are more keys in the range behind the last one. */
  readonly more: boolean;
}

/** The state that a call reads, as of one revision. */
export interface Source {
  get(key: Uint8Array): StoredKey | null;
  scan(query: ScanQuery): ScanAnswer;
  /**
   * For an `ap` procedure: the cell as it is to be seen now, what is pending over what is merged, as `Cell.encode` gives it.
   * Others read the merged one, as any key.
   *
   * @returns null: nothing is there
   */
  cell(key: string): Uint8Array | null;
  /** What the key holds if that is at hand; `undefined`: it is not known. It counts as read when it is asked for. */
  peek?(key: Uint8Array): StoredKey | null | undefined;
  /** Of a task of a job: whoever runs it next is given this. JSON. */
  checkpoint?(json: string): void;
}

/** As {@link Source}, where whoever asks can wait. */
export interface StoreSource {
  get(key: Uint8Array): StoredKey | null;
  scan(query: ScanQuery): ScanAnswer | Promise<ScanAnswer>;
  cell(key: string): Uint8Array | null;
  checkpoint?(json: string): void;
}

/** How a call ended. Its log lines are there in any case. */
export type Execution = { readonly logs: readonly string[] } & (
  | { readonly ok: true; readonly result: string; readonly effects: Effects }
  /** `reads`: what the failure may have come of. */
  | { readonly ok: false; readonly error: BalsaError; readonly reads: CallReads }
);

/** Of a call that has not come so far as to log anything. */
export function failedExecution(error: BalsaError): Execution {
  return { ok: false, error, logs: [], reads: { reads: [], ranges: [] } };
}

/** Code that was deployed: it defines procedures by name. */
export interface Bundle {
  /** Of its content: the same code has the same one. */
  readonly hash: string;
  /** The body of a function that returns the definitions. */
  readonly code: string;
}

export interface ProcedureCall {
  readonly bundle: Bundle;
  readonly name: string;
  /** JSON. */
  readonly args: string;
  /** What `ctx.now` and `Date` say, in milliseconds since 1970. */
  readonly nowMs: number;
  /** Log time at that moment, by which schedules are due; absent: the same. */
  readonly logMs?: number | undefined;
  /** Of `ctx.random` and `Math.random`. */
  readonly seed: number;
  /** Of the changes that an `ap` procedure makes: whose escrow rights it takes; empty: nobody's. */
  readonly origin: string;
  readonly limits: CallLimits;
  /** JSON of what `ctx.task` says; absent: the call is no task of a job. */
  readonly task?: string | undefined;
}

/** What tells one call from others, for the log. */
export type CallIdentity = Pick<
  CallRecord,
  'key' | 'isNamed' | 'bornIndex' | 'procedure' | 'fingerprint'
>;

/** What comes into being with a call that the leader makes by itself. */
export interface CallSupplement {
  readonly reads: readonly KeyRead[];
  /**
   * Without keys that the code has written itself. What is put belongs together: when the code has written one of those, none
   * is put.
   */
  readonly writes: readonly KeyWrite[];
  /** It does so also when the code of the call fails: then without what that wrote. */
  readonly evenIfFailed: boolean;
}

/** A call that goes into the log with others. */
export interface GroupCall {
  readonly call: ProcedureCall;
  readonly identity: CallIdentity;
  readonly supplement: CallSupplement | null;
}

/** What came of a call of a group. */
export type GroupMember = { readonly logs: readonly string[] } & (
  | {
      readonly ok: true;
      /** For the log, as `packCall` makes it: also of a call whose code has failed. */
      readonly record: Uint8Array;
      /** What its code has failed of, where the record does not say so: it comes into being all the same. */
      readonly failure?: string | null | undefined;
    }
  /** Its code has no part in it: there is nothing for the log. */
  | { readonly ok: false; readonly error: BalsaError }
);

/** What has happened since the last group: an executor may keep what it has read. */
export interface GroupNews {
  /** Of each record of the last group: the revision that it was applied at; `null`: it was not. All `null`: it is not known. */
  readonly revisions: readonly (number | null)[] | null;
  /** Keys that others have written; `null`: any. */
  readonly changed: readonly Uint8Array[] | null;
}

/** Bounds of one group. */
export interface GroupBounds {
  /** What was run so long ago is given back before more is run, in milliseconds. */
  readonly msMax: number;
  /** Bytes of records, beyond which no further call is run. */
  readonly bytesMax: number;
  /** What looking at their ranges again takes, see `costOf`, beyond which no further call is run. */
  readonly rangeCostMax: number;
  /** Of one record. */
  readonly recordBytesMax: number;
}

/** Nothing is known: what was kept counts no more. */
export const NO_NEWS: GroupNews = { revisions: null, changed: null };

/** Runs procedures. */
export interface Executor {
  /**
   * Never rejects: what goes wrong is in the {@link Execution}.
   * @param signal when it is aborted nobody waits for the call any more: whatever it does, it is ended
   */
  run(
    call: ProcedureCall,
    mode: Mode,
    source: StoreSource,
    signal?: AbortSignal,
  ): Promise<Execution>;
  /**
   * Runs calls that may write one after the other, each over `source` and what those before it would have written, for one
   * log entry. Never rejects.
   *
   * @param calls at least one
   * @returns one for each call that was run, from the first on. Those behind are for the next group: the bounds were reached, or
   *   one needs what will be known only when this group is applied
   */
  runGroup(
    calls: readonly GroupCall[],
    source: StoreSource,
    bounds: GroupBounds,
    news: GroupNews,
  ): Promise<readonly GroupMember[]>;
  close(): Promise<void>;
}
