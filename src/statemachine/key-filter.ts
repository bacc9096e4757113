import { assert } from '../base/assert.js';

/** At least half of the slots are free. */
const SLOTS_AT_FIRST = 1024;

/** In a slot: nothing. No hash is. */
const FREE = 0;

/**
 * Says of most keys that are not there that they are not, without asking the store: a table of the hashes of those that are, 32 bits
 * each. Linear probing; what is deleted leaves no mark (Knuth, "The Art of Computer Programming" volume 3, section 6.4, Algorithm R).
 */
export class KeyFilter {
  /** As many as a power of two. */
  #slots = new Uint32Array(SLOTS_AT_FIRST);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @param mapKey a key that is not there, as `toMapKey` makes it */
  add(mapKey: string): void {
    if (2 * (this.#size + 1) > this.#slots.length) this.#grow();
    this.#put(hashOf(mapKey));
    this.#size += 1;
  }

  /** False: the key is not there. True: it is, or another one with the same hash. */
  mayHave(mapKey: string): boolean {
    const hash = hashOf(mapKey);
    return this.#slots[this.#find(hash, hash)] !== FREE;
  }

  /** @param mapKey a key that is there */
  delete(mapKey: string): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    const hash = hashOf(mapKey);
    let hole = this.#find(hash, hash);
    assert(slots[hole] !== FREE, 'only keys that are there are deleted');
    // What would not be found any more behind the hole moves into it.
    for (let at = (hole + 1) & mask; slots[at] !== FREE; at = (at + 1) & mask) {
      const home = (slots[at] ?? FREE) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      slots[hole] = slots[at] ?? FREE;
      hole = at;
    }
    slots[hole] = FREE;
    this.#size -= 1;
  }

  /** @returns the first slot for the hash that holds what is sought, or nothing */
  #find(hash: number, sought: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = hash & mask;
    while (slots[at] !== FREE && slots[at] !== sought) at = (at + 1) & mask;
    return at;
  }

  /** Two keys with the same hash have a slot each. */
  #put(hash: number): void {
    this.#slots[this.#find(hash, FREE)] = hash;
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = new Uint32Array(2 * before.length);
    for (const hash of before) if (hash !== FREE) this.#put(hash);
  }
}

/** FNV-1a (Fowler, Noll and Vo), and its bits mixed once more: the lower ones choose the slot. */
function hashOf(mapKey: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < mapKey.length; i += 1) {
    hash = Math.imul(hash ^ mapKey.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) >>> 0 || 1;
}
