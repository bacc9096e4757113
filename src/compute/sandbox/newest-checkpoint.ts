import type { Clock } from '../../base/clock.js';

/** The code may make very many, and each that is told is copied and waits in the other thread: at most one in so many milliseconds. */
const TELL_MS = 100;

/** The newest checkpoint of a task that runs. Those that another one came behind soon are told to nobody. */
export class NewestCheckpoint {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #tell: (json: string) => void;
  /** `null`: it was told. */
  #json: string | null = null;
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Pick<Clock, 'monotonicMs'>, tell: (json: string) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  made(json: string): void {
    this.#json = json;
    if (this.#clock.monotonicMs() - this.#toldMs >= TELL_MS) this.flush();
  }

  /** The code has ended, also when it has failed: whoever runs it next is given this. */
  flush(): void {
    if (this.#json === null) return;
    this.#tell(this.#json);
    this.#json = null;
    this.#toldMs = this.#clock.monotonicMs();
  }
}
