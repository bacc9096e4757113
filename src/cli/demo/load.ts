import { setTimeout as delay } from 'node:timers/promises';
import { asBalsaError, type BalsaError } from '../../base/errors.js';
import type { Random } from '../../base/random.js';
import type { SourceRecord } from './documents.js';
import type { Ledger, Write } from './ledger.js';

/** What is needed of a client to write. */
export interface Writer {
  put(
    key: string,
    value: string,
    options?: { readonly timeoutMs?: number; readonly signal?: AbortSignal },
  ): Promise<{ readonly revision: number; readonly meta: { readonly term: number } }>;
}

export interface LoadOptions {
  readonly records: readonly SourceRecord[];
  readonly ledger: Ledger;
  readonly random: Random;
  /** Puts that are under way at the same time. Default 64. */
  readonly outstanding?: number;
  readonly putTimeoutMs?: number;
  /** Asked before each round, which are counted from 1: shall there be one more? */
  readonly more: (round: number) => boolean;
  /** Awaited before each put: a load can be slower than it could be. */
  readonly pace?: () => Promise<void> | null;
  readonly onAcknowledged?: (write: Write, term: number) => void;
  readonly onFailed?: (error: BalsaError) => void;
  readonly signal?: AbortSignal;
}

const PUT_TIMEOUT_MS = 30_000;
const PAUSE_AFTER_FAILURE_MS = 100;

/**
 * Writes all records, in another order each round, with single puts. A round starts when the one
 * before is over, so that two puts of one key are never under way together.
 *
 * @returns the number of rounds
 */
export async function runLoad(db: Writer, options: LoadOptions): Promise<number> {
  let round = 0;
  while (options.more(round + 1)) {
    round += 1;
    await runRound(db, round, options);
  }
  return round;
}

async function runRound(db: Writer, round: number, options: LoadOptions): Promise<void> {
  const records = shuffled(options.records, options.random).values();
  const lane = async (): Promise<void> => {
    for (const record of records) {
      options.signal?.throwIfAborted();
      await options.pace?.();
      await putOne(db, record, round, options);
    }
  };
  await Promise.all(Array.from({ length: options.outstanding ?? 64 }, lane));
}

async function putOne(
  db: Writer,
  record: SourceRecord,
  round: number,
  options: LoadOptions,
): Promise<void> {
  const value = JSON.stringify({ round, content: record.content });
  const write = options.ledger.issue(record.key, round, value);
  try {
    const { revision, meta } = await db.put(record.key, value, {
      timeoutMs: options.putTimeoutMs ?? PUT_TIMEOUT_MS,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    options.ledger.acknowledge(write, revision);
    options.onAcknowledged?.(write, meta.term);
  } catch (error) {
    const known = asBalsaError(error);
    // An error without a word on the outcome promises nothing.
    options.ledger.fail(write, known.outcome ?? 'unknown');
    options.onFailed?.(known);
    if (!known.retryable && known.code !== 'CANCELLED') throw known;
    await delay(PAUSE_AFTER_FAILURE_MS);
  }
}

/** Fisher and Yates. */
function shuffled<T>(items: readonly T[], random: Random): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i -= 1) {
    const j = random.int(i + 1);
    const [a, b] = [out[i], out[j]] as [T, T];
    out[i] = b;
    out[j] = a;
  }
  return out;
}
