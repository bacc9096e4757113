/** How often each named thing occurred. Counts of several runs can be added. */
export class Coverage {
  readonly #counts = new Map<string, number>();

  /** `name` as `group: thing`. */
  count(name: string, times = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + times);
  }

  get(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  /** The sum of all things of a group. */
  total(group: string): number {
    let sum = 0;
    for (const [name, count] of this.#counts) if (name.startsWith(`${group}: `)) sum += count;
    return sum;
  }

  entries(): [string, number][] {
    return [...this.#counts];
  }

  addAll(counts: Iterable<readonly [string, number]>): void {
    for (const [name, count] of counts) this.count(name, count);
  }

  /** Names in `expected` that never occurred. */
  missing(expected: readonly string[]): string[] {
    return expected.filter((name) => this.get(name) === 0);
  }

  /** A table, with those of `expected` that never occurred marked. */
  table(expected: readonly string[]): string {
    const names = [...new Set([...expected, ...this.#counts.keys()])].sort();
    const width = Math.max(0, ...names.map((name) => name.length));
    return names
      .map((name) => {
        const count = this.get(name);
        const mark = count === 0 ? '   <- never' : '';
        return `${name.padEnd(width)}  ${String(count).padStart(9)}${mark}`;
      })
      .join('\n');
  }
}
