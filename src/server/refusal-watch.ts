import type { BalsaError, ErrorCode } from '../base/errors.js';
import type { Logger } from './log.js';

export interface RefusalWatchOptions {
  /** Those who would have to refuse this replica for it to be hopeless. */
  readonly majority: () => number;
  /** By whose vote this replica would serve, refused for what it is, as far as that can be its own fault. */
  readonly counts: (peer: string, code: ErrorCode) => boolean;
  readonly log: Logger;
  readonly onFatal: (error: BalsaError) => void;
}

/**
 * Refusals between members. One misfit peer is its own problem; when a majority of the cluster
 * refuses this replica for what it is, it can never serve and stops with the reason.
 */
export class RefusalWatch {
  readonly #options: RefusalWatchOptions;
  readonly #misfits = new Map<string, BalsaError>();

  constructor(options: RefusalWatchOptions) {
    this.#options = options;
  }

  accepted(peer: string): void {
    this.#misfits.delete(peer);
  }

  refused(peer: string, error: BalsaError): void {
    const { log, counts, majority, onFatal } = this.#options;
    const known = this.#misfits.get(peer);
    // Said once per reason: the link tries again every few seconds.
    if (known?.message !== error.message) {
      log.warn({ peer, code: error.code, reason: error.message }, 'refused');
    }
    this.#misfits.set(peer, error);
    const misfit = [...this.#misfits].filter(([name, e]) => counts(name, e.code));
    if (misfit.length >= majority()) onFatal(error);
  }
}
