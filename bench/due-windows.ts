/** The calls that are due within one window. */
export interface DueWindow<Seen> {
  readonly index: number;
  readonly seen: Seen;
}

interface Open<Seen> extends DueWindow<Seen> {
  underWay: number;
  isOver: boolean;
}

export interface DueWindowsOptions<Seen> {
  readonly callsPerWindow: number;
  /** What is seen in a window at first. */
  readonly nothing: () => Seen;
  /** Nothing else is due in it; some may be under way. */
  readonly onOver: (window: DueWindow<Seen>) => void;
  /** It is over, and all its calls have ended; in the order of time. */
  readonly onWhole: (window: DueWindow<Seen>) => void;
}

/** Counts each call in the window in which it was due, however late its answer comes: none is lost at an edge. */
export class DueWindows<Seen> {
  readonly #options: DueWindowsOptions<Seen>;
  /** Those that are not whole, in the order of time. */
  readonly #open: Open<Seen>[] = [];

  constructor(options: DueWindowsOptions<Seen>) {
    this.#options = options;
  }

  /** @param number of the call: they begin in the order in which they are due */
  begin(number: number): void {
    const index = this.#indexOf(number);
    if (this.#open.at(-1)?.index !== index) {
      this.over();
      this.#open.push({ index, seen: this.#options.nothing(), underWay: 0, isOver: false });
    }
    const window = this.#window(index);
    window.underWay += 1;
  }

  /** @returns where to note what the call came to, before `ended` */
  seenBy(number: number): Seen {
    return this.#window(this.#indexOf(number)).seen;
  }

  ended(number: number): void {
    this.#window(this.#indexOf(number)).underWay -= 1;
    this.#tell();
  }

  /** Nothing else is due. */
  over(): void {
    const latest = this.#open.at(-1);
    if (latest === undefined || latest.isOver) return;
    latest.isOver = true;
    this.#options.onOver(latest);
    this.#tell();
  }

  #indexOf(number: number): number {
    return Math.floor(number / this.#options.callsPerWindow);
  }

  #window(index: number): Open<Seen> {
    const found = this.#open.find((one) => one.index === index);
    if (found !== undefined) return found;
    throw new Error(`nothing of window ${index} is under way`);
  }

  #tell(): void {
    for (let first = this.#open[0]; first?.isOver === true; first = this.#open[0]) {
      if (first.underWay > 0) return;
      this.#open.shift();
      this.#options.onWhole(first);
    }
  }
}
