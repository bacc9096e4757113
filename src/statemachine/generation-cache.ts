/**
 * A bounded cache of two generations: what was used since the last turn is young; when the young ones
 * reach half of the bound, those of the turn before that were not used again are dropped at once.
 * Nearly as good as least-recently-used and much cheaper.
 */
export class GenerationCache<V> {
  readonly #generationCostMax: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();
  readonly #costOf: (value: V) => number;
  #youngCost = 0;

  /**
   * @param costMax bound on the sum of what the entries cost: the length of the key, and of the value
   */
  constructor(costMax: number, costOf: (value: V) => number) {
    this.#generationCostMax = costMax / 2;
    this.#costOf = costOf;
  }

  get(key: string): V | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  set(key: string, value: V): void {
    const before = this.#young.get(key);
    this.#young.set(key, value);
    this.#youngCost += this.#costOf(value);
    if (before === undefined) this.#youngCost += key.length;
    else this.#youngCost -= this.#costOf(before);
    if (this.#youngCost > this.#generationCostMax) this.#turn();
  }

  delete(key: string): void {
    const young = this.#young.get(key);
    if (young !== undefined) {
      this.#young.delete(key);
      this.#youngCost -= key.length + this.#costOf(young);
    }
    this.#old.delete(key);
  }

  #turn(): void {
    this.#old = this.#young;
    this.#young = new Map();
    this.#youngCost = 0;
  }
}
