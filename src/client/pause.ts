import type { BalsaError, WriteOutcome } from '../base/errors.js';
import { whenAborted } from './abort.js';
import type { Engine } from './engine.js';
import { cancelled, clientClosed } from './pending.js';

/**
 * Waits, unless the caller gives up or the client is closed.
 * @param outcome of what was done before, for the error
 * @throws BalsaError `CANCELLED`, `CLIENT_CLOSED`
 */
export async function pause(
  engine: Engine,
  delayMs: number,
  signal: AbortSignal | undefined,
  outcome?: WriteOutcome,
): Promise<void> {
  // The caller may have aborted it while he had what was found.
  if (signal?.aborted === true) throw cancelled(signal.reason, outcome);
  await new Promise<void>((resolve, reject) => {
    const end = (error: BalsaError | null): void => {
      timer.cancel();
      forgetSignal();
      forgetClose();
      if (error === null) resolve();
      else reject(error);
    };
    const timer = engine.env.clock.setTimer(delayMs, () => end(null));
    const forgetSignal =
      signal === undefined
        ? () => {}
        : whenAborted(signal, () => end(cancelled(signal.reason, outcome)));
    const forgetClose = engine.whenClosed(() => end(clientClosed(outcome)));
  });
}
