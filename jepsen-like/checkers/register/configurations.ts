import type { ValueId } from './register-operation.js';

/**
 * One way in which it may have gone so far. Of operations that have ended all are done; `done` are those under way that are.
 */
export interface Configuration {
  readonly value: ValueId;
  /** Numbers of operations, ascending. */
  readonly done: readonly number[];
  /** How many writes of unknown outcome were needed, by class: class, count, class, count, …; classes ascending. */
  readonly used: readonly number[];
}

/**
 * Those that differ. Of two that differ only in how many writes of unknown outcome they needed, the one that needed more is left out:
 * whatever can follow upon it can follow upon the other.
 */
export class Configurations implements Iterable<Configuration> {
  readonly #byState = new Map<string, Configuration[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @returns false: it was there, or a better one */
  add(configuration: Configuration): boolean {
    const { value, done, used } = configuration;
    const state = done.length === 0 ? `${value}` : `${value};${done.join()}`;
    const alike = this.#byState.get(state);
    if (alike === undefined) {
      this.#byState.set(state, [configuration]);
      this.#size += 1;
      return true;
    }
    if (alike.some((one) => isWithin(one.used, used))) return false;
    const better = alike.filter((one) => !isWithin(used, one.used));
    better.push(configuration);
    this.#size += better.length - alike.length;
    this.#byState.set(state, better);
    return true;
  }

  *[Symbol.iterator](): Iterator<Configuration> {
    for (const alike of this.#byState.values()) yield* alike;
  }
}

/** Does `a` use of no class more than `b`? */
function isWithin(a: readonly number[], b: readonly number[]): boolean {
  let at = 0;
  for (let i = 0; i < a.length; i += 2) {
    while (at < b.length && (b[at] as number) < (a[i] as number)) at += 2;
    if (b[at] !== a[i] || (b[at + 1] as number) < (a[i + 1] as number)) return false;
  }
  return true;
}

export function usedOf(used: readonly number[], group: number): number {
  for (let i = 0; i < used.length; i += 2) if (used[i] === group) return used[i + 1] as number;
  return 0;
}

export function withOneMore(used: readonly number[], group: number): number[] {
  const next: number[] = [];
  let isIn = false;
  for (let i = 0; i < used.length; i += 2) {
    const one = used[i] as number;
    const count = used[i + 1] as number;
    if (!isIn && one > group) {
      next.push(group, 1);
      isIn = true;
    }
    next.push(one, one === group ? count + 1 : count);
    isIn ||= one === group;
  }
  if (!isIn) next.push(group, 1);
  return next;
}

export function withoutGroups(
  used: readonly number[],
  isGone: (group: number) => boolean,
): readonly number[] {
  const next: number[] = [];
  for (let i = 0; i < used.length; i += 2) {
    if (!isGone(used[i] as number)) next.push(used[i] as number, used[i + 1] as number);
  }
  return next.length === used.length ? used : next;
}

export function withDone(done: readonly number[], operation: number): readonly number[] {
  const at = done.findIndex((one) => one >= operation);
  if (at < 0) return [...done, operation];
  if (done[at] === operation) return done;
  return [...done.slice(0, at), operation, ...done.slice(at)];
}

export function withoutDone(done: readonly number[], operation: number): readonly number[] {
  return done.filter((one) => one !== operation);
}
