import type { Progress } from './run.js';

/** What a run is planned to take. */
export interface RunLength {
  readonly totalMs: number;
  readonly periods: number;
  /** It ends when its time is over, and not with its last period. */
  readonly isTimed: boolean;
}

/** Tells how a run goes: one line that is written over on a terminal, a line for each period elsewhere. */
export class ProgressLine {
  readonly #stream: NodeJS.WriteStream;
  readonly #length: RunLength;
  readonly #label: string;
  #periodsBegun = 0;
  #lastOk = 0;
  #lastMs = 0;
  #rate = 0;

  constructor(label: string, length: RunLength, stream: NodeJS.WriteStream = process.stderr) {
    this.#label = label;
    this.#length = length;
    this.#stream = stream;
  }

  show(progress: Progress): void {
    const { atMs, observer, period, phase } = progress;
    if (period !== undefined) this.#periodsBegun += 1;
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
    const time = howFar(this.#length, this.#periodsBegun, atMs / 1000);
    const numbers = `${ok} ok, ${fail} fail, ${info} info, ${this.#rate.toFixed(0)}/s`;
    const line = `${this.#label}  ${phase === 'load' ? time : phase}  ${numbers}  ${what}`;
    return this.#stream.isTTY ? line.slice(0, (this.#stream.columns ?? 120) - 1) : line;
  }
}

/** @param begun periods, the one that is under way among them */
export function howFar(length: RunLength, begun: number, seconds: number): string {
  const { totalMs, periods, isTimed } = length;
  if (isTimed) return `${seconds.toFixed(0)} s of ${(totalMs / 1000).toFixed(0)} s`;
  // How long it takes to mend a fault is not planned: what those before it took tells more.
  const done = Math.max(0, begun - 1);
  const left = done === 0 ? totalMs / 1000 : (seconds / done) * (periods - done);
  return `period ${begun} of ${periods}, ${seconds.toFixed(0)} s, about ${left.toFixed(0)} s left`;
}
