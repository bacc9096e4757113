import type { HealthSource } from '../rpc/health.js';

/** Tells health checks whenever the replica becomes ready to serve, or is so no more. */
export class Readiness implements HealthSource {
  readonly #isReady: () => boolean;
  readonly #listeners = new Set<() => void>();
  #was = false;

  constructor(isReady: () => boolean) {
    this.#isReady = isReady;
  }

  ready(): boolean {
    return this.#isReady();
  }

  onChange(callback: () => void): () => void {
    this.#listeners.add(callback);
    return () => this.#listeners.delete(callback);
  }

  /** Something has happened that it may depend on. */
  look(): void {
    const is = this.#isReady();
    if (is === this.#was) return;
    this.#was = is;
    for (const listener of this.#listeners) listener();
  }
}
