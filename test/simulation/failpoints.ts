import type { Failpoints } from '../../src/base/failpoints.js';
import type { Coverage } from './coverage.js';

/** Counts the named places that a process passes, and lets it die at one of them. */
export class SimulatedFailpoints implements Failpoints {
  readonly #coverage: Coverage;
  #place: { readonly name: string; times: number; readonly act: () => void } | null = null;

  constructor(coverage: Coverage) {
    this.#coverage = coverage;
  }

  /** The next time but `times` that the process passes `name`, this is done, and it goes no further. */
  set(name: string, times: number, act: () => void): void {
    this.#place = { name, times, act };
  }

  clear(): void {
    this.#place = null;
  }

  hit(name: string): void {
    this.#coverage.count(`failpoint: ${name}`);
    const place = this.#place;
    if (place === null || place.name !== name) return;
    place.times -= 1;
    if (place.times > 0) return;
    this.#place = null;
    place.act();
    throw new Error(`the process ended at ${name}`);
  }
}
