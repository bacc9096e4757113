import type { Writer } from '../../../src/cli/demo/load.js';
import type { Reader } from '../../../src/cli/demo/verify.js';

interface Stored {
  readonly revision: number;
  readonly version: number;
  readonly value: string;
}

/**
 * A store in memory that keeps all versions, and does as it is told to do wrong. Only what a client
 * sees: puts, reads at a revision, the revision of the whole.
 */
export class FakeStore implements Writer, Reader {
  revision = 0;
  term = 1;
  /** Called before each put, with its number from 1. */
  beforePut: (number: number) => void = () => {};
  readonly #histories = new Map<string, Stored[]>();
  #puts = 0;

  async put(key: string, value: string) {
    this.#puts += 1;
    this.beforePut(this.#puts);
    return { revision: this.apply(key, value), meta: { term: this.term } };
  }

  async get(key: string, options: { readonly revision?: number } = {}) {
    const at = options.revision ?? Number.POSITIVE_INFINITY;
    const found = this.history(key).findLast((stored) => stored.revision <= at);
    if (found === undefined) return { value: undefined };
    return {
      value: Buffer.from(found.value),
      modRevision: found.revision,
      version: found.version,
    };
  }

  async status() {
    return { revision: this.revision };
  }

  apply(key: string, value: string): number {
    this.revision += 1;
    const history = this.history(key);
    history.push({ revision: this.revision, version: history.length + 1, value });
    return this.revision;
  }

  /** The versions themselves: what a test changes here is planted. */
  history(key: string): Stored[] {
    const found = this.#histories.get(key);
    if (found !== undefined) return found;
    const made: Stored[] = [];
    this.#histories.set(key, made);
    return made;
  }
}
