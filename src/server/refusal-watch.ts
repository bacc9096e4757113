import type { BalsaError } from '../base/errors.js';
import type { Logger } from './log.js';

/**
 * Refusals between members. One misfit peer is its own problem; when a majority of the cluster
 * refuses this replica for what it is, it can never serve and stops with the reason.
 */
export class RefusalWatch {
  readonly #memberCount: number;
  readonly #log: Logger;
  readonly #onFatal: (error: BalsaError) => void;
  readonly #misfits = new Map<string, BalsaError>();

  constructor(memberCount: number, options: { log: Logger; onFatal: (error: BalsaError) => void }) {
    this.#memberCount = memberCount;
    this.#log = options.log;
    this.#onFatal = options.onFatal;
  }

  accepted(peer: string): void {
    this.#misfits.delete(peer);
  }

  refused(peer: string, error: BalsaError): void {
    const known = this.#misfits.get(peer);
    // Said once per reason: the link tries again every few seconds.
    if (known?.message !== error.message) {
      this.#log.warn({ peer, code: error.code, reason: error.message }, 'refused');
    }
    this.#misfits.set(peer, error);
    const misfit = [...this.#misfits.values()].filter(
      (e) => e.code === 'CLUSTER_MISMATCH' || e.code === 'MEMBER_MISMATCH',
    );
    const majority = Math.floor(this.#memberCount / 2) + 1;
    if (misfit.length >= majority) this.#onFatal(error);
  }
}
