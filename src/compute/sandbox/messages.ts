import { check, pack, unpack } from '../../base/codec.js';
import { asBalsaError, BalsaError, type ErrorCode, type WriteOutcome } from '../../base/errors.js';
import type { Mode } from '../../base/operation.js';
import { toDetails } from '../../base/operation-codec.js';
import type {
  Bundle,
  Execution,
  ProcedureCall,
  ScanAnswer,
  ScanQuery,
  StoredKey,
} from '../execution.js';

/** What a worker is sent. */
export type ToWorker =
  | { readonly type: 'load'; readonly bundle: Bundle }
  | { readonly type: 'drop'; readonly hash: string }
  | { readonly type: 'run'; readonly call: CallOfBundle; readonly mode: Mode };

/** A call of a bundle that the worker has. */
export type CallOfBundle = Omit<ProcedureCall, 'bundle'> & { readonly hash: string };

/** What a worker says. */
export type FromWorker =
  | { readonly type: 'ready' }
  /** The code is loaded; from now on the time of the call counts. */
  | { readonly type: 'begun' }
  /** The worker stands still until it has the answer. */
  | { readonly type: 'ask'; readonly question: Question }
  /** The rest of an answer that was too long. */
  | { readonly type: 'go-on' }
  | { readonly type: 'ran'; readonly execution: PlainExecution };

export type Question =
  | { readonly type: 'get'; readonly key: Uint8Array }
  | ({ readonly type: 'scan' } & ScanQuery);

/** An error as it passes from one thread to another. */
interface PlainError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly outcome: WriteOutcome | undefined;
  readonly details: Readonly<Record<string, unknown>>;
}

type PlainExecution =
  | Extract<Execution, { ok: true }>
  | (Omit<Extract<Execution, { ok: false }>, 'error'> & { readonly error: PlainError });

export function toPlain(execution: Execution): PlainExecution {
  if (execution.ok) return execution;
  const { code, message, outcome, details } = execution.error;
  return { ...execution, error: { code, message, outcome, details } };
}

export function fromPlain(execution: PlainExecution): Execution {
  if (execution.ok) return execution;
  const { code, message, ...facts } = execution.error;
  return { ...execution, error: new BalsaError(code, message, facts) };
}

// What the store answers, as bytes: they pass through memory that both threads have.

export function packFound(found: StoredKey | null): Buffer {
  return found === null ? pack([0]) : pack([1, ...tupleOf(found)]);
}

export function packScan({ more, items }: ScanAnswer): Buffer {
  return pack([2, more, items.map(tupleOf)]);
}

export function packFailure(cause: unknown): Buffer {
  const { code, message, details } = asBalsaError(cause);
  return pack([3, code, message, JSON.stringify(details)]);
}

export function unpackFound(bytes: Uint8Array): StoredKey | null {
  const [type, ...rest] = checkAnswer(bytes);
  return type === 0 ? null : storedKey(rest);
}

export function unpackScan(bytes: Uint8Array): ScanAnswer {
  const [, more, items] = checkAnswer(bytes);
  return {
    more: check.flag(more, 'more'),
    items: check.list(items, 'items').map((item) => storedKey(check.list(item, 'item'))),
  };
}

/** @throws BalsaError whatever the store has thrown */
function checkAnswer(bytes: Uint8Array): readonly unknown[] {
  const answer = check.list(unpack(bytes), 'answer');
  if (answer[0] !== 3) return answer;
  throw new BalsaError(answer[1] as ErrorCode, check.text(answer[2], 'message'), {
    outcome: 'not-applied',
    details: toDetails(answer[3]),
  });
}

const tupleOf = ({ key, value, modRevision }: StoredKey) => [key, value, modRevision];

function storedKey([key, value, modRevision]: readonly unknown[]): StoredKey {
  return {
    key: check.bytes(key, 'key'),
    value: check.bytes(value, 'value'),
    modRevision: check.count(modRevision, 'modRevision'),
  };
}
