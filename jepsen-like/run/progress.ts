import type { Progress } from './run.js';

/** Tells how a run goes: one line that is written over on a terminal, a line for each period elsewhere. */
export class ProgressLine {
  readonly #stream: NodeJS.WriteStream;
  readonly #totalMs: number;
  readonly #label: string;
  #lastOk = 0;
  #lastMs = 0;
  #rate = 0;

  constructor(label: string, totalMs: number, stream: NodeJS.WriteStream = process.stderr) {
    this.#label = label;
    this.#totalMs = totalMs;
    this.#stream = stream;
  }

  show(progress: Progress): void {
    const { atMs, observer, period, phase } = progress;
    if (atMs - this.#lastMs >= 1000) {
      this.#rate = ((observer.counts.ok - this.#lastOk) * 1000) / (atMs - this.#lastMs);
      this.#lastOk = observer.counts.ok;
      this.#lastMs = atMs;
    }
    if (this.#stream.isTTY) this.#stream.write(`\r\x1b[2K${this.#line(progress)}`);
    else if (period !== undefined || phase !== 'load') {
      this.#stream.write(`${this.#line(progress)}\n`);
    }
  }

  end(): void {
    if (this.#stream.isTTY) this.#stream.write('\r\x1b[2K');
  }

  #line({ atMs, observer, faults, phase, period }: Progress): string {
    const { ok, fail, info } = observer.counts;
    const planned = (period?.episodes ?? []).map(({ nemesis }) => nemesis.name);
    const on = [...faults.active].map(({ fault, nodes }) => `${fault} (${nodes.join(' ')})`);
    const what = planned.length > 0 ? `next: ${planned.join(', ')}` : on.join(', ') || 'no faults';
    const time = `${(atMs / 1000).toFixed(0)} s of ${(this.#totalMs / 1000).toFixed(0)} s`;
    const numbers = `${ok} ok, ${fail} fail, ${info} info, ${this.#rate.toFixed(0)}/s`;
    const line = `${this.#label}  ${phase === 'load' ? time : phase}  ${numbers}  ${what}`;
    return this.#stream.isTTY ? line.slice(0, (this.#stream.columns ?? 120) - 1) : line;
  }
}
