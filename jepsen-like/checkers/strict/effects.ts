import type { Call } from '../calls.js';
import { badValue, listOf } from '../values.js';
import { hashValue } from '../watch-index.js';

/** What a call has seen, and what it has written or would have. */
export interface Effects {
  /** Hashes by key, of what was read before it wrote the key itself. */
  readonly reads: readonly (readonly [key: string, hash: number])[];
  /** A compare-and-set that was refused: the key held something else. */
  readonly not: readonly (readonly [key: string, hash: number])[];
  /** The key held something, whatever it was. */
  readonly something: readonly string[];
  readonly writes: ReadonlyMap<string, number>;
  /** A read of what the call had written itself was something else. */
  readonly contradiction: string | null;
}

const NONE: Effects = {
  reads: [],
  not: [],
  something: [],
  writes: new Map(),
  contradiction: null,
};

/** @returns null: it is not about keys, or certainly did nothing */
export function effectsOf(call: Call): Effects | null {
  const { f, key, outcome, asked, answer } = call;
  const isRefused = outcome === 'fail';
  if (f === 'cas') {
    const [old, next] = listOf(call, asked);
    if (isRefused) {
      if (call.completion?.error !== 'CONDITION_FAILED') return null;
      return { ...NONE, not: [[key, hashValue(old)]] };
    }
    const reads = [[key, hashValue(old)]] as const;
    return { ...NONE, reads, writes: new Map([[key, hashValue(next)]]) };
  }
  if (isRefused) return null;
  if (f === 'get' || f === 'read') return { ...NONE, reads: [[key, hashValue(answer)]] };
  if (f === 'put' || f === 'write') return { ...NONE, writes: new Map([[key, hashValue(asked)]]) };
  if (f === 'delete') return deletion(call);
  return f === 'txn' ? ofTransaction(call) : null;
}

/** One that found nothing writes nothing. */
function deletion({ key, outcome, answer }: Call): Effects {
  if (answer === false && outcome === 'ok') return { ...NONE, reads: [[key, hashValue(null)]] };
  const something = answer === true && outcome === 'ok' ? [key] : [];
  return { ...NONE, something, writes: new Map([[key, hashValue(null)]]) };
}

function ofTransaction(call: Call): Effects {
  const reads: (readonly [string, number])[] = [];
  const writes = new Map<string, number>();
  let contradiction: string | null = null;
  const isOk = call.outcome === 'ok';
  for (const step of listOf(call, isOk ? (call.answer ?? call.asked) : call.asked)) {
    const [what, key, value] = listOf(call, step);
    if (typeof key !== 'string') throw badValue(call, step, '[what, key, value]');
    if (what === 'put') writes.set(key, hashValue(value));
    else if (what === 'delete') writes.set(key, hashValue(null));
    else if (what !== 'get') throw badValue(call, step, 'a step get, put or delete');
    else if (isOk && !writes.has(key)) reads.push([key, hashValue(value)]);
    else if (isOk && writes.get(key) !== hashValue(value)) contradiction = key;
  }
  return { ...NONE, reads, writes, contradiction };
}
