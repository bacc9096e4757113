import { asBalsaError, BalsaError, type ErrorCode } from '../base/errors.js';
import type { StoreClient } from './store-client.js';

export interface ImportWriterOptions {
  readonly client: Pick<StoreClient, 'put'>;
  readonly signal: AbortSignal;
  /** Puts under way at a time. */
  readonly outstandingMax: number;
  /** Name of the file, for messages. */
  readonly source: string;
  readonly onBadRecord: 'stop' | 'skip';
  /** Told of each record that is skipped. */
  readonly onSkip: (problem: string) => void;
}

interface Put {
  readonly line: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Bytes of puts under way at a time, however few they are. */
const OUTSTANDING_BYTES_MAX = 16 * 1024 * 1024;

/** What the data is to blame for, not the cluster: the record can be skipped. */
const RECORD_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'KEY_EMPTY',
  'KEY_TOO_LARGE',
  'VALUE_TOO_LARGE',
  'BATCH_TOO_LARGE',
]);

/**
 * Puts records with a window of puts under way, and counts what became of them. Puts are issued in the
 * order of the file, and the client keeps that order, so of two records with one key the later one stays.
 */
export class ImportWriter {
  readonly #options: ImportWriterOptions;
  #outstanding = 0;
  #outstandingBytes = 0;
  #wake: (() => void) | null = null;
  #failure: BalsaError | null = null;
  #imported = 0;
  #skipped = 0;
  #unknown = 0;

  constructor(options: ImportWriterOptions) {
    this.#options = options;
  }

  /** Acknowledged by the cluster. */
  get imported(): number {
    return this.#imported;
  }

  get skipped(): number {
    return this.#skipped;
  }

  /** Under way when it failed: they may have been applied, or may yet be. */
  get unknown(): number {
    return this.#unknown;
  }

  /** Why the import ends early; `null`: it does not. One with an unknown outcome comes first. */
  get failure(): BalsaError | null {
    return this.#failure;
  }

  /** Issues the put once there is room in the window; does nothing when the import has failed. */
  async put(record: Put): Promise<void> {
    const bytes = record.key.byteLength + record.value.byteLength;
    while (this.#failure === null && !this.#hasRoomFor(bytes)) await this.#change();
    if (this.#failure !== null) return;
    this.#outstanding += 1;
    this.#outstandingBytes += bytes;
    const { client, signal } = this.#options;
    client.put(record.key, record.value, { signal }).then(
      () => this.#settle(bytes, null, record.line),
      (error: unknown) => this.#settle(bytes, asBalsaError(error), record.line),
    );
  }

  /** A record that cannot be read: skipped, or the end. */
  refuse(line: number, problem: string): void {
    const message = this.#at(line, problem);
    if (this.#options.onBadRecord === 'stop') {
      this.#fail(new BalsaError('FILE_INVALID', message));
    } else {
      this.#skipped += 1;
      this.#options.onSkip(message);
    }
  }

  /** Resolves when no put is under way. */
  async settled(): Promise<void> {
    while (this.#outstanding > 0) await this.#change();
  }

  #hasRoomFor(bytes: number): boolean {
    if (this.#outstanding === 0) return true;
    if (this.#outstanding >= this.#options.outstandingMax) return false;
    return this.#outstandingBytes + bytes <= OUTSTANDING_BYTES_MAX;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #settle(bytes: number, error: BalsaError | null, line: number): void {
    this.#outstanding -= 1;
    this.#outstandingBytes -= bytes;
    if (error === null) this.#imported += 1;
    else if (RECORD_CODES.has(error.code)) this.refuse(line, error.message);
    else this.#fail(this.#located(error, line));
    this.#wake?.();
    this.#wake = null;
  }

  #fail(error: BalsaError): void {
    if (error.outcome === 'unknown') this.#unknown += 1;
    const isWorse = error.outcome === 'unknown' && this.#failure?.outcome !== 'unknown';
    if (this.#failure === null || isWorse) this.#failure = error;
  }

  #located(cause: BalsaError, line: number): BalsaError {
    const { code, message, outcome, details } = cause;
    return new BalsaError(code, this.#at(line, message), { outcome, cause, details });
  }

  #at(line: number, problem: string): string {
    return `${this.#options.source} line ${line}: ${problem}`;
  }
}
