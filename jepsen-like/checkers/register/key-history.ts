import type { HistoryReader } from '../../history/history-reader.js';
import { type Call, callsOf } from '../calls.js';
import { badValue, hashText, listOf, valueText } from '../values.js';
import {
  type Action,
  NOTHING,
  type RegisterOperation,
  type ValueId,
} from './register-operation.js';

/** Longer values are told apart by hash and length. */
const NAME_LENGTH_MAX = 64;

/** The operations of one key. */
export interface KeyHistory {
  readonly key: string;
  /** In the order of their ends. */
  readonly operations: RegisterOperation[];
  /** What a value was, for messages; by number. */
  readonly names: readonly string[];
}

const REGISTER_FUNCTIONS: ReadonlySet<string> = new Set([
  'get',
  'read',
  'put',
  'write',
  'cas',
  'delete',
]);

export function isOnRegister({ f }: Call): boolean {
  return REGISTER_FUNCTIONS.has(f);
}

/** How many operations there are on each key. */
export async function countByKey(history: HistoryReader): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for await (const call of callsOf(history)) {
    if (isOnRegister(call)) counts.set(call.key, (counts.get(call.key) ?? 0) + 1);
  }
  return counts;
}

/** Keys in groups of at most so many operations, or of one key that has more. */
export function inShards(counts: ReadonlyMap<string, number>, operationsMax: number): string[][] {
  const shards: string[][] = [];
  let inLast = Number.POSITIVE_INFINITY;
  for (const [key, count] of counts) {
    if (inLast + count > operationsMax) {
      shards.push([]);
      inLast = 0;
    }
    shards.at(-1)?.push(key);
    inLast += count;
  }
  return shards;
}

/**
 * Those of these keys, of the whole history.
 * @throws HistoryError
 */
export async function loadKeys(
  history: HistoryReader,
  keys: readonly string[],
): Promise<KeyHistory[]> {
  const loading = new Map(keys.map((key) => [key, new LoadingKey(key)]));
  for await (const call of callsOf(history)) {
    if (isOnRegister(call)) loading.get(call.key)?.add(call);
  }
  return [...loading.values()];
}

class LoadingKey implements KeyHistory {
  readonly key: string;
  readonly operations: RegisterOperation[] = [];
  readonly names: string[] = ['null'];
  readonly #ids = new Map<string, ValueId>();

  constructor(key: string) {
    this.key = key;
  }

  add(call: Call): void {
    const action = this.#actionOf(call);
    if (action === null) return;
    const { begin, line } = call;
    // One that failed because of what it found has an end.
    const end = call.completion?.type === 'fail' ? call.completion.time : call.end;
    this.operations.push({ action, begin, end, line });
  }

  /** `null`: it certainly did nothing, and tells nothing. */
  #actionOf(call: Call): Action | null {
    const { f, outcome, asked, answer } = call;
    if (f === 'cas') return this.#casOf(call);
    if (outcome === 'fail') return null;
    if (f === 'put' || f === 'write') return { kind: 'put', value: this.#id(asked) };
    if (f === 'delete') {
      const found = outcome === 'ok' && typeof answer === 'boolean' ? answer : null;
      return { kind: 'delete', found };
    }
    return outcome === 'ok' ? { kind: 'get', value: this.#id(answer) } : null;
  }

  #casOf(call: Call): Action | null {
    const pair = listOf(call, call.asked);
    if (pair.length !== 2) throw badValue(call, pair, '[old, new]');
    const old = this.#id(pair[0]);
    if (call.outcome !== 'fail') return { kind: 'cas', old, value: this.#id(pair[1]) };
    return call.completion?.error === 'CONDITION_FAILED' ? { kind: 'refused', old } : null;
  }

  #id(value: unknown): ValueId {
    if (value === null || value === undefined) return NOTHING;
    const text = valueText(value);
    const isLong = text.length > NAME_LENGTH_MAX;
    const name = isLong ? `${text.slice(0, 16)}…#${hashText(text)}:${text.length}` : text;
    let id = this.#ids.get(name);
    if (id === undefined) {
      id = this.names.push(name) - 1;
      this.#ids.set(name, id);
    }
    return id;
  }
}
