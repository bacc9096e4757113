/** What a run is at, in place of what was shown before, on stderr; on a terminal only. */
export function showProgress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}`);
}

const REDRAW_MS = 1000;
/** Where it is told of every call. */
const REDRAW_MS_MIN = 200;

export interface ProgressOptions {
  /** Of the work, in any unit. */
  readonly total: number;
  /** How long one unit takes, where that is known before; else it is taken from those that are done. */
  readonly unitMs?: number;
  readonly isShown?: boolean;
  readonly nowMs?: () => number;
  readonly show?: (line: string) => void;
}

/** How much of a long run is done and how long the rest takes, on stderr; on a terminal only. */
export class Progress {
  readonly #options: Required<Omit<ProgressOptions, 'unitMs'>>;
  readonly #timer: NodeJS.Timeout | null;
  readonly #startedMs: number;
  #unitMs: number;
  #done = 0;
  #doing = '';
  #drawnMs = Number.NEGATIVE_INFINITY;

  constructor({ total, unitMs = Number.NaN, ...options }: ProgressOptions) {
    const { isShown = process.stderr.isTTY === true, nowMs = () => performance.now() } = options;
    this.#options = { total, isShown, nowMs, show: options.show ?? showProgress };
    this.#unitMs = unitMs;
    this.#startedMs = nowMs();
    this.#timer = isShown ? setInterval(() => this.#draw(), REDRAW_MS).unref() : null;
  }

  /** @param done of the total, from 0 on */
  at(done: number, doing = this.#doing): void {
    if (!this.#options.isShown) return;
    const nowMs = this.#options.nowMs();
    this.#done = done;
    if (done > 0) this.#unitMs = (nowMs - this.#startedMs) / done;
    const isNews = doing !== this.#doing;
    this.#doing = doing;
    if (isNews || nowMs - this.#drawnMs >= REDRAW_MS_MIN) this.#draw();
  }

  /** A line on stdout, which is not to stand behind what is shown. */
  say(line: string): void {
    if (this.#options.isShown) this.#options.show('');
    console.log(line);
  }

  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    if (this.#options.isShown) this.#options.show('');
  }

  #draw(): void {
    const { total, nowMs, show } = this.#options;
    this.#drawnMs = nowMs();
    const percent = Math.floor((100 * this.#done) / total);
    const leftMs = this.#unitMs * total - (this.#drawnMs - this.#startedMs);
    show(`${this.#doing}: ${percent} %${timeLeft(leftMs)}`);
  }
}

/** `''`: nobody knows. */
function timeLeft(ms: number): string {
  if (Number.isNaN(ms)) return '';
  const seconds = Math.round(ms / 1000);
  if (seconds <= 0) return ', soon done';
  return seconds < 120 ? `, ${seconds} s left` : `, ${Math.round(seconds / 60)} min left`;
}
