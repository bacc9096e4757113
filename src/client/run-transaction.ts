import { BalsaError } from '../base/errors.js';
import { whenAborted } from './abort.js';
import type { Engine } from './engine.js';
import { invalid } from './invalid.js';
import type { CallOptions, KeyForm } from './options.js';
import type { Scope } from './scope.js';
import { Transaction } from './transaction.js';

/** Options of {@link Client.transaction}. */
export interface TransactionOptions extends CallOptions {
  /** Time limit of each read, and of the commit, in milliseconds; 0: none. Default: that of the client. */
  readonly timeoutMs?: number | undefined;
  /** How often it is tried again after a conflict. Default 20. */
  readonly retries?: number | undefined;
}

const RETRIES = 20;
const FIRST_WAIT_MS = 2;
const LONGEST_WAIT_MS = 250;

/** Runs `work` until its reads and writes take effect as if in one moment; see {@link Client.transaction}. */
export async function runTransaction<In, Out, Keys extends KeyForm, Result>(
  scope: Scope<In, Out, Keys>,
  work: (tx: Transaction<In, Out, Keys>) => Promise<Result>,
  options: TransactionOptions,
): Promise<Result> {
  const { retries = RETRIES, timeoutMs, signal } = options;
  if (!Number.isSafeInteger(retries) || retries < 0) {
    throw invalid(`retries must be a whole number from 0, found ${String(retries)}`);
  }
  const calls = { timeoutMs, signal };
  for (let tries = 1; ; tries += 1) {
    const done = await attempt(scope, work, calls);
    if (done !== null) return done.result;
    if (tries > retries) throw conflict(tries);
    await pause(scope.engine, tries, signal);
  }
}

/** `null`: there was a conflict, nothing was written. */
async function attempt<In, Out, Keys extends KeyForm, Result>(
  scope: Scope<In, Out, Keys>,
  work: (tx: Transaction<In, Out, Keys>) => Promise<Result>,
  calls: CallOptions,
): Promise<{ readonly result: Result } | null> {
  const tx = new Transaction(scope, calls);
  let result: Result;
  try {
    result = await work(tx);
  } catch (error) {
    tx.end();
    // The history that it read from was removed meanwhile: what it saw is too old anyhow.
    if (tx.compacted) return null;
    throw error;
  }
  const operation = tx.end();
  if (operation === null) return { result };
  const { succeeded } = await scope.write(
    calls,
    'txn',
    () => operation,
    (txn) => txn,
  );
  return succeeded ? { result } : null;
}

function pause(engine: Engine, tries: number, signal: AbortSignal | undefined): Promise<void> {
  const { clock, random } = engine.env;
  const full = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(tries - 1, 16));
  return new Promise((resolve) => {
    const timer = clock.setTimer(full * random.next(), () => end());
    // The next attempt says that it was aborted.
    const forget = signal === undefined ? () => {} : whenAborted(signal, () => end());
    const end = (): void => {
      timer.cancel();
      forget();
      resolve();
    };
  });
}

function conflict(tries: number): BalsaError {
  return new BalsaError(
    'TXN_CONFLICT',
    `others changed what the transaction had read, each of the ${tries} times that it was tried; nothing ` +
      'was written. Try again later, read less in it, or take a lock first',
    { outcome: 'not-applied', details: { tries } },
  );
}
