import { countWhile } from './binary-search.js';

/** Most keys in one block; a split makes two of half the size. */
const BLOCK_KEYS_MAX = 512;

/**
 * A set of keys in order, as map keys (one character per byte, so that their order is that of the
 * bytes). A list of short sorted lists: insertion and search cost a logarithm and a short copy.
 */
export class SortedKeys {
  #blocks: string[][] = [];

  add(key: string): void {
    const position = this.#blockOf(key);
    const block = this.#blocks[position];
    if (block === undefined) {
      this.#blocks.push([key]);
      return;
    }
    const at = lowerBound(block, key);
    if (block[at] === key) return;
    block.splice(at, 0, key);
    if (block.length > BLOCK_KEYS_MAX) {
      this.#blocks.splice(position + 1, 0, block.splice(BLOCK_KEYS_MAX / 2));
    }
  }

  delete(key: string): void {
    const position = this.#blockOf(key);
    const block = this.#blocks[position];
    if (block === undefined) return;
    const at = lowerBound(block, key);
    if (block[at] !== key) return;
    block.splice(at, 1);
    if (block.length === 0) this.#blocks.splice(position, 1);
  }

  /** Keys with `from <= key < to` (`null`: to the end). The set must not change meanwhile. */
  *ascending(from: string, to: string | null): Generator<string, void> {
    for (let position = this.#blockOf(from); position < this.#blocks.length; position += 1) {
      const block = this.#blocks[position] ?? [];
      for (let at = lowerBound(block, from); at < block.length; at += 1) {
        const key = block[at] as string;
        if (to !== null && key >= to) return;
        yield key;
      }
    }
  }

  /** The same keys, last one first. */
  *descending(from: string, to: string | null): Generator<string, void> {
    const last = to === null ? this.#blocks.length - 1 : this.#blockOf(to);
    for (let position = last; position >= 0; position -= 1) {
      const block = this.#blocks[position] ?? [];
      const end = to === null ? block.length : lowerBound(block, to);
      for (let at = end - 1; at >= 0; at -= 1) {
        const key = block[at] as string;
        if (key < from) return;
        yield key;
      }
    }
  }

  /** The last block that begins at or before `key`; the first one when none does. */
  #blockOf(key: string): number {
    return Math.max(0, countWhile(this.#blocks, (block) => (block[0] ?? '') <= key) - 1);
  }
}

/** Position of the first that is not less than `key`. */
function lowerBound(sorted: readonly string[], key: string): number {
  return countWhile(sorted, (own) => own < key);
}
