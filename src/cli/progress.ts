import { formatDuration } from '../base/duration.js';
import type { CliIo } from './io.js';
import { clip } from './text-width.js';

const REDRAW_MS = 100;
const BAR_COLUMNS = 24;

export interface ProgressState {
  /** Of `total`, in the same unit. */
  readonly done: number;
  /** Things counted, for the rate. */
  readonly count: number;
}

/** A bar on stderr with rate and time left; silent when stderr is no terminal. */
export class Progress {
  readonly #io: CliIo;
  readonly #unit: string;
  readonly #total: number | null;
  readonly #startMs: number;
  #drawnMs = Number.NEGATIVE_INFINITY;
  #isDrawn = false;

  /** `total` null: not known, so no bar and no time left. */
  constructor(io: CliIo, unit: string, total: number | null) {
    this.#io = io;
    this.#unit = unit;
    this.#total = total;
    this.#startMs = io.nowMs();
  }

  update(state: ProgressState): void {
    this.draw((elapsedMs) => progressText(state, elapsedMs, this.#total, this.#unit));
  }

  /** Any other text, in place of what was drawn before. */
  draw(text: (elapsedMs: number) => string): void {
    if (this.#io.stderr.isTTY !== true) return;
    const nowMs = this.#io.nowMs();
    if (nowMs - this.#drawnMs < REDRAW_MS) return;
    this.#drawnMs = nowMs;
    const columns = (this.#io.stderr.columns || 80) - 1;
    this.#io.stderr.write(`\r\u001b[2K${clip(text(nowMs - this.#startMs), columns)}`);
    this.#isDrawn = true;
  }

  /** Takes the bar away, so that what is said next has a clean line. */
  clear(): void {
    if (this.#isDrawn) this.#io.stderr.write('\r\u001b[2K');
    this.#isDrawn = false;
  }
}

export function progressText(
  { done, count }: ProgressState,
  elapsedMs: number,
  total: number | null,
  unit: string,
): string {
  const rate = `${formatCount(count)} ${unit}, ${formatRate(count, elapsedMs)}`;
  if (total === null) return `${rate}, ${formatDuration(elapsedMs)}`;
  const part = total === 0 ? 1 : Math.min(1, done / total);
  const leftMs = done === 0 ? null : (elapsedMs * (total - done)) / done;
  const left = leftMs === null || done >= total ? '' : `, ${formatDuration(leftMs)} left`;
  return `${barText(part, BAR_COLUMNS)}  ${rate}${left}`;
}

/** `████████░░░░░░░░░░░░  40%` @param part from 0 to 1 */
export function barText(part: number, columns: number): string {
  const filled = Math.round(part * columns);
  const bar = '█'.repeat(filled) + '░'.repeat(columns - filled);
  return `${bar} ${String(Math.floor(100 * part)).padStart(3)}%`;
}

export function formatCount(count: number): string {
  return count.toLocaleString('en-US');
}

export function formatRate(count: number, elapsedMs: number): string {
  return `${formatCount(Math.round(elapsedMs <= 0 ? 0 : (count * 1000) / elapsedMs))}/s`;
}
