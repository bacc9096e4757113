import { createHash } from 'node:crypto';
import { BalsaError, type Client, type Watch } from '../../src/client/client.js';
import { HistoryWriter } from '../history/history-writer.js';
import type { RunClock } from './clock.js';

const INLINE_BYTES_MAX = 4096;

/**
 * A watch of the whole store, from its first revision on, over links that never fail: what was really written, in the order
 * of the log. It has a file of its own beside the histories.
 */
export class StoreWatch {
  readonly path: string;
  events = 0;
  /** It ended before it was to, and why. */
  failure: string | null = null;
  readonly #watch: Watch<Buffer, 'text'>;
  readonly #writer: HistoryWriter;
  readonly #clock: RunClock;
  readonly #over: Promise<void>;

  constructor(db: Client, path: string, clock: RunClock) {
    this.path = path;
    this.#clock = clock;
    this.#writer = new HistoryWriter(path);
    this.#watch = db.watch({ fromRevision: 1, progress: true, timeoutMs: 0 });
    this.#over = this.#gather().catch((error: unknown) => {
      this.failure =
        error instanceof BalsaError ? `${error.code}: ${error.message}` : String(error);
    });
  }

  get revision(): number {
    return this.#watch.revision ?? 0;
  }

  /** What it has told so far is in its file. */
  flush(): void {
    this.#writer.flush();
  }

  async close(): Promise<void> {
    await this.#watch.close();
    await this.#over;
    this.#writer.close();
  }

  async #gather(): Promise<void> {
    for await (const { events } of this.#watch.batches()) {
      const time = this.#clock.now();
      for (const event of events) {
        const value = event.type === 'delete' ? null : contentOf(event.value);
        const { key, revision } = event;
        this.#writer.write({ process: 0, type: 'ok', f: 'event', key, value, time, revision });
      }
      this.events += events.length;
    }
  }
}

/** JSON as it is; what is large as its size and hash; what is no JSON as text. */
export function contentOf(bytes: Uint8Array): unknown {
  if (bytes.byteLength > INLINE_BYTES_MAX) {
    return { bytes: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex') };
  }
  const text = Buffer.from(bytes).toString('utf8');
  try {
    const value: unknown = JSON.parse(text);
    // A thousand digits are a number that JSON cannot say.
    return typeof value === 'number' && !Number.isFinite(value) ? text : value;
  } catch {
    return text;
  }
}
