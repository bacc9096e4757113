import type { Client } from '../src/client/client.js';

/** What a load has seen between two moments. */
export interface LoadWindow {
  readonly acknowledged: number;
  readonly failed: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** The longest time between two acknowledgements. */
  readonly standstillMs: number;
}

/** Puts in a closed loop: each of the outstanding ones is followed by the next. */
export class SteadyLoad {
  readonly #db: Client;
  readonly #value: Buffer;
  readonly #workers: Promise<void>[];
  #running = true;
  #latencies: number[] = [];
  #failed = 0;
  #standstillMs = 0;
  #lastMs = performance.now();
  #sinceMs = performance.now();
  #next = 0;
  acknowledged = 0;

  constructor(db: Client, load: { readonly outstanding: number; readonly valueBytes: number }) {
    this.#db = db;
    this.#value = Buffer.alloc(load.valueBytes, 'v');
    this.#workers = Array.from({ length: load.outstanding }, () => this.#work());
  }

  /** What has happened since the last call. */
  window(): LoadWindow {
    const nowMs = performance.now();
    const sorted = this.#latencies.sort((a, b) => a - b);
    const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0;
    const window = {
      acknowledged: sorted.length,
      failed: this.#failed,
      perSecond: Math.round((sorted.length * 1000) / (nowMs - this.#sinceMs)),
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      maxMs: sorted.at(-1) ?? 0,
      standstillMs: Math.max(this.#standstillMs, nowMs - this.#lastMs),
    };
    this.#latencies = [];
    this.#failed = 0;
    this.#standstillMs = 0;
    this.#sinceMs = nowMs;
    this.#lastMs = nowMs;
    return window;
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#workers);
  }

  async #work(): Promise<void> {
    while (this.#running) {
      const beforeMs = performance.now();
      this.#next += 1;
      try {
        await this.#db.put(`load/${this.#next % 1000}`, this.#value, { timeoutMs: 30_000 });
        const nowMs = performance.now();
        this.acknowledged += 1;
        this.#latencies.push(nowMs - beforeMs);
        this.#standstillMs = Math.max(this.#standstillMs, nowMs - this.#lastMs);
        this.#lastMs = nowMs;
      } catch {
        this.#failed += 1;
      }
    }
  }
}

/** For the tables. */
export function inNumbers(window: LoadWindow): Record<string, number> {
  const round = (ms: number): number => Math.round(ms * 10) / 10;
  return {
    'puts/s': window.perSecond,
    'p50 ms': round(window.p50Ms),
    'p99 ms': round(window.p99Ms),
    'max ms': round(window.maxMs),
    'longest standstill ms': round(window.standstillMs),
    failed: window.failed,
  };
}
