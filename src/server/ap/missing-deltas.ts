import { BalsaError } from '../../base/errors.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import type { DeltaQueue } from '../../storage/delta-queue.js';

/** What can be done about a queue that is not what it was. */
const HINT =
  '"balsa start --reseed" moves it aside (nothing is deleted) and goes on without it: what is in it alone does not count then';

/** The error, with what can be done about it. */
export function withDeltasHint(error: BalsaError): BalsaError {
  const { code, message, details } = error;
  return new BalsaError(code, `${message}. ${HINT}`, { cause: error, details });
}

/**
 * The log has more of the queue than the queue itself, or something between the two is gone: an old copy of the folder, or a lost
 * end. What is made from now on would be taken for what was merged. `null`: it is not so.
 */
export function missingDeltas(
  machine: Pick<StateMachine, 'mergedThrough'>,
  queue: Pick<DeltaQueue, 'origin' | 'lastSequence'>,
): BalsaError | null {
  const merged = machine.mergedThrough(queue.origin);
  const last = queue.lastSequence(queue.origin);
  if (merged <= last) return null;
  const message =
    `the log has merged ${merged} deltas of this replica, but its queue (ap in its data folder) ends with ${last}:` +
    ' a part of it is missing. Put the right one back';
  return new BalsaError('DELTAS_CORRUPT', message, { details: { merged, last } });
}
