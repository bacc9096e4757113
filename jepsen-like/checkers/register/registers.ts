import type { HistoryReader } from '../../history/history-reader.js';
import type { HistoryOperation } from '../../history/operation.js';
import { callsOf, linesOfCalls } from '../calls.js';
import type { Checker, Verdict } from '../checker.js';
import { countByKey, inShards, type KeyHistory, loadKeys } from './key-history.js';
import { isUnknown, isVague, needs, type RegisterOperation } from './register-operation.js';
import { SEARCH_BOUNDS, type SearchBounds, searchOrder } from './search.js';
import { smallestPart } from './smallest.js';

/** Keys are judged in groups of so many operations, one group in memory at a time. */
const SHARD_OPERATIONS_MAX = 250_000;
/** Of these the smallest part is looked for. */
const SHRUNK_KEYS_MAX = 3;

export interface RegisterOptions {
  /** Default: {@link SEARCH_BOUNDS}. */
  readonly bounds?: SearchBounds;
  /** Default: 250,000. */
  readonly shardOperationsMax?: number;
}

/**
 * Linearizability of registers: read, write, compare-and-set and delete, each key by itself (Herlihy and Wing: a history is
 * linearizable when it is so object by object). A key holds nothing at first.
 */
export function registerChecker(options: RegisterOptions = {}): Checker {
  const bounds = options.bounds ?? SEARCH_BOUNDS;
  const shardMax = options.shardOperationsMax ?? SHARD_OPERATIONS_MAX;
  return {
    name: 'register',
    check: async (history) => {
      const outcome = new Outcome();
      for (const keys of inShards(await countByKey(history), shardMax)) {
        for (const keyHistory of await loadKeys(history, keys)) outcome.judge(keyHistory, bounds);
      }
      return outcome.verdict(history);
    },
  };
}

interface Violation {
  readonly key: string;
  readonly part: readonly RegisterOperation[];
}

class Outcome {
  readonly #violations: Violation[] = [];
  readonly #undecided: string[] = [];
  #impossibleKeys = 0;
  #keys = 0;
  #operations = 0;
  #unknown = 0;
  /** Answers that depend on what was written. */
  #told = 0;

  judge({ key, operations }: KeyHistory, bounds: SearchBounds): void {
    this.#keys += 1;
    this.#operations += operations.length;
    this.#unknown += operations.filter(isUnknown).length;
    this.#told += operations.filter(tells).length;
    const result = searchOrder(operations, bounds);
    if (result.type === 'undecided') this.#undecided.push(key);
    if (result.type !== 'impossible') return;
    this.#impossibleKeys += 1;
    if (this.#violations.length >= SHRUNK_KEYS_MAX) return;
    this.#violations.push({ key, part: smallestPart(operations) });
  }

  async verdict(history: HistoryReader): Promise<Verdict> {
    const base = { checker: 'register', operations: this.#operations };
    const details = {
      keys: this.#keys,
      unknownOutcomes: this.#unknown,
      impossibleKeys: this.#impossibleKeys,
      undecidedKeys: this.#undecided,
    };
    const [smallest] = this.#violations.sort((a, b) => a.part.length - b.part.length);
    if (smallest !== undefined) {
      const { key, part } = smallest;
      const others =
        this.#impossibleKeys > 1 ? ` (and ${this.#impossibleKeys - 1} other keys)` : '';
      return {
        ...base,
        details,
        valid: false,
        text: `no order of the operations on key "${key}"${others} explains their answers; ${part.length} of them contradict each other`,
        smallest: await findLines(history, part),
      };
    }
    if (this.#undecided.length > 0) {
      const which = this.#undecided.slice(0, 5).join(', ');
      const text = `too much happened at once on ${this.#undecided.length} keys (${which}) to find out within the bounds of the search`;
      return { ...base, details, valid: 'unknown', text };
    }
    if (this.#operations === 0) {
      return { ...base, details, valid: 'unknown', text: 'there is nothing to judge' };
    }
    if (this.#told === 0) {
      return { ...base, details, valid: 'unknown', text: 'no answer tells what was written' };
    }
    const text = `${this.#operations} operations on ${this.#keys} keys are linearizable, ${this.#unknown} of them of unknown outcome`;
    return { ...base, details, valid: true, text };
  }
}

function tells(operation: RegisterOperation): boolean {
  const { action } = operation;
  return !isUnknown(operation) && (needs(action) !== null || isVague(action));
}

async function findLines(
  history: HistoryReader,
  part: readonly RegisterOperation[],
): Promise<HistoryOperation[]> {
  const wanted = new Set(part.map(({ line }) => line));
  const found = [];
  for await (const call of callsOf(history)) if (wanted.has(call.line)) found.push(call);
  return linesOfCalls(found);
}
