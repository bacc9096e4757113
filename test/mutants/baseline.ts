import type { Workshop } from './workshop.js';

const SEED_TIMEOUT_MS = 5 * 60_000;

type Sound = Pick<Workshop, 'compile' | 'run' | 'dispose'>;

/**
 * What the simulator says without a mutation, seed by seed: what it finds with one at a seed means nothing if it finds something
 * there without. Each seed that is asked about is run once, when it is asked about.
 */
export class Baseline {
  readonly #make: () => Sound;
  #workshop: Sound | null = null;
  /** By seed: what was found; `null`: nothing. */
  readonly #found = new Map<number, Promise<string | null>>();
  /** One after the other. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param make makes a workshop in which no mutation is put */
  constructor(make: () => Sound) {
    this.#make = make;
  }

  /** @throws when the seed is violated without any mutation */
  async check(seed: number): Promise<void> {
    let found = this.#found.get(seed);
    if (found === undefined) {
      found = this.#last.then(() => this.#run(seed));
      this.#last = found.catch(() => {});
      this.#found.set(seed, found);
    }
    const violation = await found;
    if (violation === null) return;
    throw new Error(
      `seed ${seed} is violated without a mutation, too, so it catches none: ${violation}`,
    );
  }

  async #run(seed: number): Promise<string | null> {
    const workshop = await this.#compiled();
    const args = ['1', `${seed}`, '1'];
    const { code, output, timedOut } = await workshop.run(
      'test/mutants/hunt.js',
      args,
      SEED_TIMEOUT_MS,
    );
    if (timedOut)
      throw new Error(`seed ${seed} takes more than ${SEED_TIMEOUT_MS} ms without a mutation`);
    return code === 0 ? null : output.trim();
  }

  async #compiled(): Promise<Sound> {
    const workshop = this.#workshop ?? this.#make();
    if (this.#workshop === null) await workshop.compile();
    this.#workshop = workshop;
    return workshop;
  }

  dispose(): void {
    this.#workshop?.dispose();
  }
}
