const MS_PER_MINUTE = 60_000;

/** What a run is at, in place of what was shown before, on stderr; on a terminal only. */
export function showProgress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}`);
}

/** Rounds that all take about as long: how many are done, and how long the rest will take. */
export class RoundProgress {
  readonly #total: number;
  readonly #startedMs = performance.now();
  #begun = 0;

  constructor(total: number) {
    this.#total = total;
  }

  /** One more round begins. */
  begins(what: string): void {
    const done = this.#begun;
    this.#begun += 1;
    const eachMs = (performance.now() - this.#startedMs) / done;
    const left =
      done === 0
        ? ''
        : `, ${((eachMs * (this.#total - done)) / MS_PER_MINUTE).toFixed(1)} min left`;
    this.says(what, left);
  }

  says(what: string, left = ''): void {
    showProgress(`round ${this.#begun} of ${this.#total}${left}: ${what}`);
  }

  clear(): void {
    showProgress('');
  }
}
