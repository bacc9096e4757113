import { cellKey } from '../../base/cell.js';
import type { KeyValue } from '../../base/operation.js';
import type { ScanAnswer, ScanQuery, StoredKey, StoreSource } from '../../compute/execution.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import type { RangePage, RangeQuery } from '../../statemachine/types.js';

/** What a call reads: the state of this replica as of one revision, whatever is applied meanwhile. */
export class MachineSource implements StoreSource {
  readonly #machine: () => StateMachine;
  readonly revision: number;

  /** @param machine another one when a snapshot takes its place, which goes on from the same history */
  constructor(machine: () => StateMachine) {
    this.#machine = machine;
    this.revision = machine().revision;
  }

  /** @throws BalsaError `COMPACTED` */
  get(key: Uint8Array): StoredKey | null {
    const content = this.#machine().get(key, this.revision);
    if (content === null) return null;
    return { key, value: content.value, modRevision: content.modRevision };
  }

  /** @throws BalsaError `COMPACTED` */
  cell(key: string): Uint8Array | null {
    return this.get(cellKey(key))?.value ?? null;
  }

  /** @throws BalsaError `COMPACTED` */
  async scan({ from, to, keysMax, bytesMax }: ScanQuery): Promise<ScanAnswer> {
    let next: Uint8Array | null = from;
    // A page may end among deleted keys.
    while (next !== null) {
      const page: RangePage = await this.#page({ from: next, to, keysMax, reverse: false });
      if (page.items.length > 0) return cut(page.items, bytesMax, page.continueFrom !== null);
      next = page.continueFrom;
    }
    return { items: [], more: false };
  }

  /** One that was being read when a snapshot took the place of the state is read from that: it has the same history. */
  async #page(query: Omit<RangeQuery, 'revision'>): Promise<RangePage> {
    for (;;) {
      const machine = this.#machine();
      try {
        return await machine.range({ ...query, revision: this.revision });
      } catch (cause) {
        if (machine === this.#machine()) throw cause;
      }
    }
  }
}

/** The first key beyond `bytesMax` is the last one. */
function cut(items: readonly KeyValue[], bytesMax: number, more: boolean): ScanAnswer {
  const taken: StoredKey[] = [];
  let bytes = 0;
  for (const { key, value, modRevision } of items) {
    taken.push({ key, value, modRevision });
    bytes += key.byteLength + value.byteLength;
    if (bytes >= bytesMax) break;
  }
  return { items: taken, more: more || taken.length < items.length };
}
