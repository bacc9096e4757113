import { compareBytes, fromMapKey, toMapKey } from '../base/bytes.js';
import type { KeyValue, PutOperation, TxnStep } from '../base/operation.js';
import type { FoundItems } from './range.js';
import type { Bounds } from './scope.js';

/** A write that is not committed yet. */
export type StagedWrite = PutOperation | { readonly type: 'delete'; readonly key: Uint8Array };

/** What a transaction has written so far: at most one write for each key, the last one. */
export class Overlay {
  readonly #writes = new Map<string, StagedWrite>();

  get size(): number {
    return this.#writes.size;
  }

  get(key: Uint8Array): StagedWrite | undefined {
    return this.#writes.get(toMapKey(key));
  }

  set(write: StagedWrite): void {
    this.#writes.set(toMapKey(write.key), write);
  }

  steps(): TxnStep[] {
    return [...this.#writes.values()];
  }

  /** Those within the bounds, in the order of a range. */
  within({ from, to }: Bounds, reverse: boolean): StagedWrite[] {
    const found: StagedWrite[] = [];
    for (const [mapKey, write] of this.#writes) {
      const key = fromMapKey(mapKey);
      if (compareBytes(key, from) < 0 || (to !== null && compareBytes(key, to) >= 0)) continue;
      found.push(write);
    }
    const sign = reverse ? -1 : 1;
    return found.sort((a, b) => sign * compareBytes(a.key, b.key));
  }
}

/** What a key holds that was written and not committed: it has no revisions yet. */
export function stagedItem(write: StagedWrite): KeyValue | null {
  if (write.type === 'delete') return null;
  const { key, value, lease } = write;
  return {
    key,
    value: value ?? new Uint8Array(0),
    ...{ modRevision: 0, createRevision: 0, version: 0 },
    lease: typeof lease === 'number' ? lease : 0,
  };
}

/**
 * The items of a range with the staged writes over them, in order. Staged writes are those of the moment
 * when it began.
 */
export async function* merge(
  stored: AsyncIterable<FoundItems>,
  staged: readonly StagedWrite[],
  options: {
    readonly reverse: boolean;
    /** Hears of each item of the store as it is taken in. */
    readonly onSeen: (item: KeyValue) => void;
    /** The store has no more. */
    readonly onEnd: () => void;
  },
): AsyncGenerator<KeyValue, void, undefined> {
  const sign = options.reverse ? -1 : 1;
  let next = 0;
  for await (const { items } of stored) {
    for (const item of items) {
      options.onSeen(item);
      let covered = false;
      for (let write = staged[next]; write !== undefined; write = staged[next]) {
        const order = sign * compareBytes(write.key, item.key);
        if (order > 0) break;
        next += 1;
        covered ||= order === 0;
        const own = stagedItem(write);
        if (own !== null) yield own;
      }
      if (!covered) yield item;
    }
  }
  options.onEnd();
  for (const write of staged.slice(next)) {
    const own = stagedItem(write);
    if (own !== null) yield own;
  }
}
