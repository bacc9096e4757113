import { check, pack, unpack } from '../../base/codec.js';
import { asBalsaError, BalsaError, type ErrorCode, type WriteOutcome } from '../../base/errors.js';
import type { Mode } from '../../base/operation.js';
import { toDetails } from '../../base/operation-codec.js';
import type {
  Bundle,
  CallLimits,
  CallSupplement,
  Execution,
  GroupBounds,
  GroupCall,
  GroupMember,
  GroupNews,
  ProcedureCall,
  ScanAnswer,
  ScanQuery,
  StoredKey,
} from '../execution.js';
import type { Given } from './foresight.js';

/** What a worker is sent. */
export type ToWorker =
  | { readonly type: 'load'; readonly bundle: Bundle }
  | { readonly type: 'drop'; readonly hash: string }
  | {
      readonly type: 'run';
      readonly call: CallOfBundle;
      readonly mode: Mode;
      /** See {@link packGiven}. */
      readonly given: Uint8Array | null;
    }
  | {
      readonly type: 'run-group';
      /** See {@link packGroup}. */
      readonly group: Uint8Array;
      readonly limits: CallLimits;
      readonly bounds: GroupBounds;
      /** See {@link packNews}. */
      readonly news: Uint8Array;
    };

/** A call of a bundle that the worker has. */
export type CallOfBundle = Omit<ProcedureCall, 'bundle'> & { readonly hash: string };

/** What a worker says. */
export type FromWorker =
  /** `thread`: what it is called in `/proc`. */
  | { readonly type: 'ready'; readonly thread: string }
  /** The worker stands still until it has the answer. */
  | { readonly type: 'ask'; readonly question: Question }
  /** The rest of an answer that was too long. */
  | { readonly type: 'go-on' }
  /** Of a task, which goes on. */
  | { readonly type: 'checkpoint'; readonly json: string }
  | {
      readonly type: 'ran';
      readonly execution: PlainExecution;
      /** That it has looked at. */
      readonly cells: readonly string[];
    }
  /** See {@link packMembers}. */
  | { readonly type: 'ran-group'; readonly members: Uint8Array };

export type Question =
  | { readonly type: 'get'; readonly key: Uint8Array }
  /** Several at once. See {@link packKeys}. */
  | { readonly type: 'get-many'; readonly keys: Uint8Array }
  | { readonly type: 'cell'; readonly key: string }
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

// Groups as bytes: views of larger buffers would be copied with all that they are views of.

export function packGroup(calls: readonly GroupCall[]): Uint8Array {
  return packToSend(
    calls.map(({ call, identity, supplement }) => [
      ...[call.bundle.hash, call.name, call.args, call.nowMs, call.seed],
      ...[identity.key, identity.isNamed, identity.bornIndex],
      ...[identity.procedure, identity.fingerprint],
      supplement && fromSupplement(supplement),
      call.logMs ?? call.nowMs,
    ]),
  );
}

/** @param bundleOf by its hash */
export function unpackGroup(
  bytes: Uint8Array,
  limits: CallLimits,
  bundleOf: (hash: string) => Bundle,
): GroupCall[] {
  return check.list(unpack(bytes), 'group').map((value) => {
    const t = check.tuple(value, 'group call', 12);
    return {
      call: {
        bundle: bundleOf(check.text(t[0], 'hash')),
        name: check.text(t[1], 'name'),
        args: check.text(t[2], 'args'),
        nowMs: check.count(t[3], 'nowMs'),
        seed: check.count(t[4], 'seed'),
        logMs: check.count(t[11], 'logMs'),
        // None of them is of an `ap` procedure.
        origin: '',
        limits,
      },
      identity: {
        key: check.bytes(t[5], 'key'),
        isNamed: check.flag(t[6], 'isNamed'),
        bornIndex: check.count(t[7], 'bornIndex'),
        procedure: check.text(t[8], 'procedure'),
        fingerprint: check.bytes(t[9], 'fingerprint'),
      },
      supplement: check.optional(t[10], toSupplement),
    };
  });
}

export function packGiven({ found, cells }: Given): Uint8Array {
  return packToSend([found.map(([key, one]) => [key, one && tupleOf(one)]), cells]);
}

export function unpackGiven(bytes: Uint8Array): Given {
  const [found, cells] = check.tuple(unpack(bytes), 'given', 2);
  const pairs = (list: unknown): (readonly unknown[])[] =>
    check.list(list, 'given').map((pair) => check.tuple(pair, 'given', 2));
  return {
    found: pairs(found).map(([key, one]) => [
      check.bytes(key, 'given key'),
      check.optional(one, (tuple) => storedKey(check.list(tuple, 'given'))),
    ]),
    cells: pairs(cells).map(([key, cell]) => [
      check.text(key, 'given cell'),
      check.optional(cell, (state) => check.bytes(state, 'given cell')),
    ]),
  };
}

export function packNews({ revisions, changed }: GroupNews): Uint8Array {
  return packToSend([revisions, changed]);
}

export function unpackNews(bytes: Uint8Array): GroupNews {
  const [revisions, changed] = check.tuple(unpack(bytes), 'news', 2);
  return {
    revisions: check.optional(revisions, (list) =>
      check
        .list(list, 'revisions')
        .map((v) => check.optional(v, (r) => check.count(r, 'revision'))),
    ),
    changed: check.optional(changed, (list) =>
      check.list(list, 'changed').map((key) => check.bytes(key, 'changed')),
    ),
  };
}

function fromSupplement({ reads, writes, evenIfFailed }: CallSupplement): unknown[] {
  return [
    reads.map(({ key, modRevision }) => [key, modRevision]),
    writes.map(({ key, value }) => [key, value]),
    evenIfFailed,
  ];
}

function toSupplement(value: unknown): CallSupplement {
  const [reads, writes, evenIfFailed] = check.tuple(value, 'supplement', 3);
  const pairs = (list: unknown): (readonly unknown[])[] =>
    check.list(list, 'supplement').map((pair) => check.tuple(pair, 'supplement', 2));
  return {
    reads: pairs(reads).map(([key, revision]) => ({
      key: check.bytes(key, 'supplement read'),
      modRevision: check.count(revision, 'supplement read'),
    })),
    writes: pairs(writes).map(([key, written]) => ({
      key: check.bytes(key, 'supplement write'),
      value: check.optional(written, (v) => check.bytes(v, 'supplement write')),
    })),
    evenIfFailed: check.flag(evenIfFailed, 'supplement evenIfFailed'),
  };
}

export function packMembers(members: readonly GroupMember[]): Uint8Array {
  return packToSend(
    members.map((member) => {
      if (member.ok) return [member.logs, member.record, member.failure ?? null];
      const { code, message, outcome, details } = member.error;
      return [member.logs, null, code, message, outcome ?? null, JSON.stringify(details)];
    }),
  );
}

export function unpackMembers(bytes: Uint8Array): GroupMember[] {
  return check.list(unpack(bytes), 'members').map((value) => {
    const t = check.tuple(value, 'member', 2);
    const logs = check.list(t[0], 'logs').map((line) => check.text(line, 'log'));
    if (t[1] !== null) {
      const failure = check.optional(t[2], (text) => check.text(text, 'failure'));
      return { ok: true, logs, record: check.bytes(t[1], 'record'), failure };
    }
    const facts = {
      outcome: (t[4] ?? undefined) as WriteOutcome | undefined,
      details: toDetails(t[5]),
    };
    const error = new BalsaError(t[2] as ErrorCode, check.text(t[3], 'message'), facts);
    return { ok: false, logs, error };
  });
}

/** Nothing else lies in its memory. */
function packToSend(value: unknown): Uint8Array {
  return new Uint8Array(pack(value));
}

// What the store answers, as bytes: they pass through memory that both threads have.

export function packFound(found: StoredKey | null): Buffer {
  return found === null ? pack([0]) : pack([1, ...tupleOf(found)]);
}

export function packScan({ more, items }: ScanAnswer): Buffer {
  return pack([2, more, items.map(tupleOf)]);
}

export function packCell(cell: Uint8Array | null): Buffer {
  return pack([4, cell]);
}

export function packFailure(cause: unknown): Buffer {
  const { code, message, details } = asBalsaError(cause);
  return pack([3, code, message, JSON.stringify(details)]);
}

export function packKeys(keys: readonly Uint8Array[]): Uint8Array {
  return packToSend(keys);
}

export function unpackKeys(bytes: Uint8Array): Uint8Array[] {
  return check.list(unpack(bytes), 'keys').map((key) => check.bytes(key, 'key'));
}

export function packAllFound(found: readonly (StoredKey | null)[]): Buffer {
  return pack([5, found.map((one) => one && tupleOf(one))]);
}

export function unpackAllFound(bytes: Uint8Array): (StoredKey | null)[] {
  const [, found] = checkAnswer(bytes);
  return check
    .list(found, 'found')
    .map((one) => (one === null ? null : storedKey(check.list(one, 'found'))));
}

export function unpackFound(bytes: Uint8Array): StoredKey | null {
  const [type, ...rest] = checkAnswer(bytes);
  return type === 0 ? null : storedKey(rest);
}

export function unpackCell(bytes: Uint8Array): Uint8Array | null {
  return check.optional(checkAnswer(bytes)[1], (cell) => check.bytes(cell, 'cell'));
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
