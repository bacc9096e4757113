import { progressText } from '../progress.js';
import { clip } from '../text-width.js';

/** The part of a stream that is written to; `process.stdout` is one. */
export interface Screen {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

const REDRAW_MS = 100;

/**
 * Tells a story line by line, with a progress bar under the last line while something takes its
 * time. The bar is drawn on a terminal only, and never in the way of a line.
 */
export class Teller {
  readonly #lines: Screen;
  readonly #bars: Screen;
  #bar: ProgressBar | null = null;

  /** Lines go to `lines`, bars to `bars`: standard output and standard error, as a rule. */
  constructor(lines: Screen, bars: Screen) {
    this.#lines = lines;
    this.#bars = bars;
  }

  say(line = ''): void {
    this.#bar?.clear();
    this.#lines.write(`${line}\n`);
  }

  /** Shows a bar until its `end` is called. `unit` says what is counted: `writes`. */
  startBar(unit: string, total: number): ProgressBar {
    this.#bar?.end();
    this.#bar = new ProgressBar(this.#bars, unit, total);
    return this.#bar;
  }

  /** Wipes an unfinished bar, e.g. before an error is printed. */
  end(): void {
    this.#bar?.end();
  }
}

export class ProgressBar {
  readonly #screen: Screen;
  readonly #unit: string;
  readonly #total: number;
  readonly #startedMs = performance.now();
  #done = 0;
  #drawnMs = 0;
  #visible = false;
  #ended = false;

  constructor(screen: Screen, unit: string, total: number) {
    this.#screen = screen;
    this.#unit = unit;
    this.#total = Math.max(1, total);
  }

  /** One more is done. */
  step(): void {
    this.#done += 1;
    const nowMs = performance.now();
    if (this.#ended || this.#screen.isTTY !== true || nowMs - this.#drawnMs < REDRAW_MS) return;
    this.#drawnMs = nowMs;
    const done = { done: this.#done, count: this.#done };
    const text = progressText(done, nowMs - this.#startedMs, this.#total, this.#unit);
    // A terminal that does not tell its width says 0.
    const columns = this.#screen.columns || 80;
    this.#screen.write(`\r\x1b[K${clip(`  ${text}`, columns - 1)}`);
    this.#visible = true;
  }

  clear(): void {
    if (this.#visible) this.#screen.write('\r\x1b[K');
    this.#visible = false;
  }

  end(): void {
    this.clear();
    this.#ended = true;
  }
}
