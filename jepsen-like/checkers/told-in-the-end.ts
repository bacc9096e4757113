import type { Call } from './calls.js';

/** Of each key: whether an answer tells what became of all that was acknowledged. What was asked for before that tells nothing of it. */
export class ToldInTheEnd {
  readonly #keys = new Map<string, { written: number; told: number }>();

  /** @param until when it can be seen at the latest; default: when it was acknowledged */
  wrote({ key, outcome, end }: Call, until = end): void {
    if (outcome === 'fail') return;
    const state = this.#of(key);
    if (outcome === 'ok') state.written = Math.max(state.written, until);
  }

  read({ key, outcome, begin }: Call): void {
    if (outcome !== 'ok') return;
    const state = this.#of(key);
    state.told = Math.max(state.told, begin);
  }

  /** Those of which nothing tells. */
  get open(): string[] {
    return [...this.#keys].filter(([, { written, told }]) => told <= written).map(([key]) => key);
  }

  /** @param what one of these is; `null`: all is told */
  doubt(what: string): string | null {
    const [first, ...others] = this.open;
    if (first === undefined) return null;
    const more = others.length === 0 ? '' : `, and ${others.length} more`;
    return `nothing tells what ${what}${first === '' ? '' : ` "${first}"`}${more} came to`;
  }

  #of(key: string): { written: number; told: number } {
    const known = this.#keys.get(key);
    if (known !== undefined) return known;
    const state = { written: Number.NEGATIVE_INFINITY, told: Number.NEGATIVE_INFINITY };
    this.#keys.set(key, state);
    return state;
  }
}
