import type { CallEnd, CallRecord, KeyDefault, KeyUpdate } from '../../src/base/call.js';
import { packCall, unpackCallOutcome } from '../../src/base/call-codec.js';
import type { DeployOperation, WriteOperation } from '../../src/base/operation.js';
import type { StateMachineOptions } from '../../src/statemachine/state-machine.js';
import type { BatchAnswer } from '../../src/statemachine/types.js';
import { batch, bytes, del, put, Replica, session } from './replica.js';

/** Calls and what becomes of them in few words, for tests that need many. */

/** A hash that begins as the text does. */
export function hashOf(start: string): string {
  return start.padEnd(64, '0');
}

/** Of the code that all calls ran, unless they say so. */
export const HASH = hashOf('abcd');

/** As `name` or `name:mode`. */
export function deploy(
  hash: string,
  procedures: readonly string[],
  more: { readonly alias?: string; readonly code?: string } = {},
): DeployOperation {
  const declared = procedures.map((one) => {
    const [name = '', mode = 'cp'] = one.split(':');
    return { name, mode: mode as 'cp' | 'read' | 'ap', trigger: null };
  });
  const { alias = 'prod', code = `code of ${hash}` } = more;
  return { type: 'deploy', hash, code: bytes(code), alias, procedures: declared };
}

export interface CallFields
  extends Partial<Pick<CallRecord, 'isNamed' | 'bornIndex' | 'procedure' | 'hash' | 'dependsOn'>> {
  readonly fingerprint?: string;
  /** By key: its revision, 0: nothing. */
  readonly reads?: Readonly<Record<string, number>>;
  readonly ranges?: readonly (readonly [
    from: string,
    to: string | null,
    keys: number,
    modRevisionMax: number,
  ])[];
  /** `null`: deleted. */
  readonly writes?: Readonly<Record<string, string | null>>;
  readonly updates?: readonly (KeyUpdate | KeyDefault)[];
  readonly events?: readonly (readonly [name: string, payload: string])[];
  readonly end?: CallEnd;
}

export function call(key: string, fields: CallFields = {}): CallRecord {
  const { reads = {}, ranges = [], writes = {}, events = [] } = fields;
  return {
    key: bytes(key),
    isNamed: fields.isNamed ?? false,
    bornIndex: fields.bornIndex ?? 0,
    procedure: fields.procedure ?? 'p',
    hash: fields.hash ?? HASH,
    fingerprint: bytes((fields.fingerprint ?? key).slice(0, 8).padEnd(8)),
    dependsOn: fields.dependsOn ?? [],
    reads: Object.entries(reads).map(([name, modRevision]) => ({ key: bytes(name), modRevision })),
    ranges: ranges.map(([from, to, keys, modRevisionMax]) => ({
      ...{ from: bytes(from), to: to === null ? null : bytes(to), keys, modRevisionMax },
    })),
    writes: Object.entries(writes).map(([name, value]) => ({
      key: bytes(name),
      value: value === null ? null : bytes(value),
    })),
    updates: fields.updates ?? [],
    events: events.map(([name, payload]) => ({ name, payload })),
    end: fields.end ?? { ok: true, result: JSON.stringify(key) },
  };
}

export const add = (key: string, by: number): KeyUpdate => ({ type: 'add', key: bytes(key), by });
export const max = (key: string, by: number): KeyUpdate => ({ type: 'max', key: bytes(key), by });
export const setIfAbsent = (key: string, value: string): KeyDefault => ({
  ...{ type: 'set-if-absent', key: bytes(key), value: bytes(value) },
});

export function failed(code: string, message = 'no', details: object = {}): CallEnd {
  return { ok: false, code, message, details: { ...details } };
}

/** A replica where the procedure `p` is deployed, in its first entry. */
export async function startWithProcedure(options: StateMachineOptions = {}): Promise<Replica> {
  const replica = await Replica.start(options);
  await replica.do(deploy(HASH, ['p']));
  return replica;
}

/** With keys a to e at revisions 1 to 5; `f` was there until revision 7. */
export async function filled(): Promise<Replica> {
  const replica = await startWithProcedure();
  await replica.do(...['a', 'b', 'c', 'd', 'e', 'f'].map((key) => put(key, '0')), del('f'));
  return replica;
}

/** What became of calls, of which each is a record or bytes that are none. */
export async function submit(
  replica: Replica,
  ...calls: readonly (CallRecord | Uint8Array)[]
): Promise<string[]> {
  return (await submitAt(replica, 0, calls)).map(sayCall);
}

/** As {@link submit}, at a log time, and behind writes of the same entry. */
export async function submitAt(
  replica: Replica,
  timeMs: number,
  calls: readonly (CallRecord | Uint8Array)[],
  before: readonly WriteOperation[] = [],
): Promise<readonly BatchAnswer[]> {
  const sessionId = session(`entry ${replica.log.length}`);
  const bornIndex = replica.log.length;
  const batches = before.length === 0 ? [] : [batch({ sessionId, bornIndex, operations: before })];
  const packed = calls.map((one) => (one instanceof Uint8Array ? one : packCall(one)));
  const answers = await replica.run({ timeMs, batches, calls: packed });
  return answers.slice(batches.length);
}

/** An answer in a few words: the result and the revision of what was written. */
export function sayCall(answer: BatchAnswer | undefined): string {
  if (answer === undefined) return 'none';
  if (!answer.ok) return `${answer.error.code} ${answer.error.outcome}`;
  const { result, revision } = unpackCallOutcome(answer.results);
  return `${answer.repeated ? 'again ' : ''}${result}@${revision}`;
}

export const CONFLICT = 'TXN_CONFLICT not-applied';
