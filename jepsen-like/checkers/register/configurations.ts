import type { ValueId } from './register-operation.js';

/**
 * One way in which it may have gone so far. Of operations that have ended all are done; of those under way these are:
 */
export interface Configuration {
  readonly value: ValueId;
  /** Numbers of operations, ascending. */
  readonly done: readonly number[];
  /**
   * Puts under way that nobody sees, and that another write has come behind: each may have been done just before that one, so that it is
   * there when it has to be. Ascending.
   */
  readonly hidden: readonly number[];
  /** How many writes of unknown outcome were needed, by group: group, count, group, count, …; groups ascending. */
  readonly used: readonly number[];
}

/** Of an operation that is done. */
export interface Kinds {
  /** It changes nothing while the register holds this, and is possible then. */
  isIdle(operation: number, value: ValueId): boolean;
  /** A put that nobody sees. */
  isUnseen(operation: number): boolean;
}

interface Entry {
  readonly configuration: Configuration;
  /** Those done that are idle now, or unseen. */
  readonly light: readonly number[];
}

/**
 * Those that differ in what can follow. Left out is one for which there is another from which all can follow that can follow from it: one
 * that needed fewer writes of unknown outcome, or can still do without effect what this one has done.
 */
export class Configurations implements Iterable<Configuration> {
  readonly #byState = new Map<string, Entry[]>();
  readonly #kinds: Kinds;
  #size = 0;

  constructor(kinds: Kinds) {
    this.#kinds = kinds;
  }

  get size(): number {
    return this.#size;
  }

  /** @returns false: it was there, or a better one */
  add(configuration: Configuration): boolean {
    const { value, done } = configuration;
    let state = `${value}`;
    const light: number[] = [];
    for (const operation of done) {
      if (this.#kinds.isUnseen(operation) || this.#kinds.isIdle(operation, value)) {
        light.push(operation);
      } else {
        state += `,${operation}`;
      }
    }
    const entry = { configuration, light };
    const alike = this.#byState.get(state);
    if (alike === undefined) {
      this.#byState.set(state, [entry]);
      this.#size += 1;
      return true;
    }
    if (alike.some((one) => this.#isAsGood(one, entry))) return false;
    const better = alike.filter((one) => !this.#isAsGood(entry, one));
    better.push(entry);
    this.#size += better.length - alike.length;
    this.#byState.set(state, better);
    return true;
  }

  /** Those that needed the fewest writes of unknown outcome: they can do most yet. */
  best(count: number): Configurations {
    const inOrder = [...this].map((one) => ({ one, used: usedInAll(one.used) }));
    inOrder.sort((a, b) => a.used - b.used);
    const kept = new Configurations(this.#kinds);
    for (const { one } of inOrder.slice(0, count)) kept.add(one);
    return kept;
  }

  *[Symbol.iterator](): Iterator<Configuration> {
    for (const alike of this.#byState.values()) for (const one of alike) yield one.configuration;
  }

  #isAsGood(a: Entry, b: Entry): boolean {
    const { hidden, value, used } = a.configuration;
    return (
      a.light.every((operation) => b.light.includes(operation)) &&
      b.light.every(
        (operation) =>
          a.light.includes(operation) ||
          hidden.includes(operation) ||
          this.#kinds.isIdle(operation, value),
      ) &&
      b.configuration.hidden.every((operation) => hidden.includes(operation)) &&
      isWithin(used, b.configuration.used)
    );
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

function usedInAll(used: readonly number[]): number {
  let sum = 0;
  for (let i = 1; i < used.length; i += 2) sum += used[i] as number;
  return sum;
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

/** Ascending. */
export function withNumber(numbers: readonly number[], added: number): readonly number[] {
  const at = numbers.findIndex((one) => one >= added);
  if (at < 0) return [...numbers, added];
  if (numbers[at] === added) return numbers;
  return [...numbers.slice(0, at), added, ...numbers.slice(at)];
}

export function withoutNumber(numbers: readonly number[], gone: number): readonly number[] {
  return numbers.includes(gone) ? numbers.filter((one) => one !== gone) : numbers;
}
