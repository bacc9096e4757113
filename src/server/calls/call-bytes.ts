import { BalsaError } from '../../base/errors.js';
import type { Limits } from '../../base/limits.js';

/** Bytes of calls that were taken in and have not ended: bounded by their count alone they could be many GiB. */
export class CallBytes {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor({ pendingRequestBytesMax }: Pick<Limits, 'pendingRequestBytesMax'>) {
    this.#bytesMax = pendingRequestBytesMax;
  }

  /**
   * One is always taken in, however large it is.
   * @returns what is to be called, once, when the call has ended; the error: there is no room for it
   */
  hold(bytes: number): (() => void) | BalsaError {
    if (this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax)
      return tooManyBytes(this.#bytesMax);
    this.#bytes += bytes;
    return () => {
      this.#bytes -= bytes;
    };
  }
}

function tooManyBytes(max: number): BalsaError {
  const message = `the arguments of calls that wait would have more than ${max} bytes (pendingRequestBytesMax)`;
  return new BalsaError('OVERLOADED', message, {
    outcome: 'not-applied',
    details: { limit: 'pendingRequestBytesMax', retryAfterMs: 50 },
  });
}
