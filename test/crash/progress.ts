const TTY_MS = 200;
const LINE_MS = 60_000;

/** At a terminal a line that changes; else a line now and then. `--from` may go on a few runs before what was done. */
export class Progress {
  readonly #from: number;
  readonly #total: number;
  readonly #startedMs = performance.now();
  #toldMs = 0;

  constructor(from: number, total: number) {
    this.#from = from;
    this.#total = total;
  }

  tell(done: number, failed: number): void {
    const tookMs = performance.now() - this.#startedMs;
    const { isTTY } = process.stderr;
    if (tookMs - this.#toldMs < (isTTY ? TTY_MS : LINE_MS)) return;
    this.#toldMs = tookMs;
    const perMs = (done - this.#from) / tookMs;
    const leftMinutes = ((this.#total - done) / perMs / 60_000).toFixed(0);
    const rate = (perMs * 1000).toFixed(1);
    const line = `${done} of ${this.#total}, ${failed} failed, ${rate}/s, about ${leftMinutes} min left`;
    process.stderr.write(isTTY ? `\r${line}  ` : `${line}\n`);
  }
}
