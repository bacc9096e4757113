/**
 * A bounded cache of two generations: what was used since the last turn is young; when the young ones
 * reach half of the bound, those of the turn before that were not used again are dropped at once.
 * Nearly as good as least-recently-used and much cheaper.
 */
export class GenerationCache<V> {
  readonly #generationCostMax: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();
  #youngCost = 0;

  /** @param costMax bound on the sum of the lengths of the keys, each with `ENTRY_COST` added */
  constructor(costMax: number) {
    this.#generationCostMax = costMax / 2;
  }

  get(key: string): V | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  set(key: string, value: V): void {
    const size = this.#young.size;
    this.#young.set(key, value);
    if (this.#young.size === size) return;
    this.#youngCost += key.length + ENTRY_COST;
    if (this.#youngCost > this.#generationCostMax) this.#turn();
  }

  delete(key: string): void {
    if (this.#young.delete(key)) this.#youngCost -= key.length + ENTRY_COST;
    this.#old.delete(key);
  }

  #turn(): void {
    this.#old = this.#young;
    this.#young = new Map();
    this.#youngCost = 0;
  }
}

/** What an entry takes beside its key, in bytes, roughly. */
const ENTRY_COST = 200;
