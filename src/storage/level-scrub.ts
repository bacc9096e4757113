import type { Clock, Timer } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import type { Database } from './level-database.js';
import { type DamagedTable, damagedTables, liveTables, type TableReading } from './level-tables.js';

export interface ScrubRate {
  readonly bytesPerSecond: number;
  /** From one time that it begins to read all to the next, at least. */
  readonly intervalMs: number;
}

export interface ScrubFigures {
  /** What was read. */
  readonly bytes: number;
  /** So long ago it began to read all of it, and found it whole. */
  readonly wholeMs: number;
}

export interface LevelScrubOptions {
  readonly folder: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly rate: ScrubRate;
  /** Called once; it ends then. */
  readonly onDamage: (table: DamagedTable) => void;
  /** The disk does not give what is on it; it ends then. */
  readonly onFailure: (error: unknown) => void;
}

/** Read in one go; to look at it takes a fraction of a millisecond. */
const READ_BYTES = 128 * 1024;

/**
 * Reads all tables of an open LevelDB again and again, slowly, to see that they are whole. LevelDB itself does not look when it
 * reads; and when it merges tables it gives what it has read new checksums, which fit whatever has become of it. So rot is to be
 * found before.
 */
export class LevelScrub {
  readonly #options: LevelScrubOptions;
  readonly #reading: TableReading;
  readonly #ended: Promise<void>;
  #bytes = 0;
  #wholeMs: number;
  #timer: Timer | null = null;
  #wake: () => void = () => {};
  #isStopped = false;

  /** The tables are whole now: the first time is an interval away. */
  constructor(options: LevelScrubOptions) {
    this.#options = options;
    this.#wholeMs = options.clock.monotonicMs();
    this.#reading = { bytesAtOnce: READ_BYTES, onRead: (bytes) => this.#pace(bytes) };
    this.#ended = this.#run();
  }

  get figures(): ScrubFigures {
    return { bytes: this.#bytes, wholeMs: this.#options.clock.monotonicMs() - this.#wholeMs };
  }

  /** Resolves when it reads nothing more. */
  stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#wake();
    return this.#ended;
  }

  async #run(): Promise<void> {
    const { clock, rate, onFailure } = this.#options;
    let begunMs = this.#wholeMs;
    try {
      for (;;) {
        await this.#rest(begunMs + rate.intervalMs - clock.monotonicMs());
        begunMs = clock.monotonicMs();
        const outcome = await this.#readAll();
        if (outcome === 'damaged') return;
        if (outcome === 'whole') this.#wholeMs = begunMs;
      }
    } catch (error) {
      if (!this.#isStopped) onFailure(error);
    }
  }

  /** `unknown`: some of them could not be read this time. */
  async #readAll(): Promise<'whole' | 'damaged' | 'unknown'> {
    const { folder, database, onDamage } = this.#options;
    let outcome: 'whole' | 'unknown' = 'whole';
    for (const number of liveTables(database)) {
      try {
        const [found] = await damagedTables(folder, new Set([number]), this.#reading);
        this.#checkStopped();
        if (found === undefined || !liveTables(database).has(number)) continue;
        onDamage(found);
        return 'damaged';
      } catch (error) {
        if (!mayPass(error)) throw error;
        outcome = 'unknown';
      }
    }
    return outcome;
  }

  async #pace(bytes: number): Promise<void> {
    this.#bytes += bytes;
    await this.#rest((bytes * 1000) / this.#options.rate.bytesPerSecond);
  }

  async #rest(delayMs: number): Promise<void> {
    this.#checkStopped();
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#timer = this.#options.clock.setTimer(Math.max(0, delayMs), resolve);
    });
    this.#checkStopped();
  }

  #checkStopped(): void {
    if (this.#isStopped) throw new BalsaError('SHUTTING_DOWN', 'the state is closed');
  }
}

/** It says nothing of the disk: no more files may be opened, for example. LevelDB has its own open. */
function mayPass(error: unknown): boolean {
  if (error instanceof BalsaError) return false;
  const { code } = error as NodeJS.ErrnoException;
  return code !== undefined && code !== 'EIO';
}
