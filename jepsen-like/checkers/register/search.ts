import {
  type Configuration,
  Configurations,
  usedOf,
  withDone,
  withOneMore,
  withoutDone,
  withoutGroups,
} from './configurations.js';
import { Outlook } from './outlook.js';
import {
  isPossible,
  isUnknown,
  isVague,
  leaves,
  NOTHING,
  needs,
  type RegisterOperation,
  type ValueId,
} from './register-operation.js';

/**
 * Is there an order of these operations, each between its begin and its end, in which a register would have given these answers?
 *
 * Wing and Gong, "Testing and Verifying Concurrent Objects" (1993), in the form that Lowe calls just-in-time linearization
 * ("Testing for linearizability", 2017): it goes through the begins and ends in the order of time with the set of all
 * configurations that are possible so far, and takes operations into the order when one ends that must be in it. Equal
 * configurations are one (memory), and when nothing is under way little is left of them, so memory is bounded by how much happens at once
 * on the key. {@link Outlook} leaves out what leads nowhere.
 */
export type SearchResult =
  | { readonly type: 'possible' }
  /** When this one ended there was no order left. */
  | { readonly type: 'impossible'; readonly at: RegisterOperation }
  /** A bound was reached. */
  | { readonly type: 'undecided'; readonly at: RegisterOperation };

export interface SearchBounds {
  /** Configurations that are looked at from the end of one operation to that of the next. */
  readonly configurationsMax: number;
  /** Steps of the whole search. */
  readonly stepsMax: number;
}

export const SEARCH_BOUNDS: SearchBounds = { configurationsMax: 200_000, stepsMax: 50_000_000 };

export function searchOrder(
  operations: readonly RegisterOperation[],
  bounds: SearchBounds = SEARCH_BOUNDS,
): SearchResult {
  return new Search(operations, bounds).run();
}

/** Writes of unknown outcome that do the same: which of them it was does not matter. */
interface UnknownGroup {
  readonly id: number;
  readonly operation: RegisterOperation;
  /** Those that have begun. */
  begun: number;
}

/** Stands for all values that nobody names: they cannot be told apart. */
const UNNAMED: ValueId = -1;

class Search {
  readonly #operations: readonly RegisterOperation[];
  readonly #bounds: SearchBounds;
  readonly #outlook: Outlook;
  /** Under way, of known outcome: numbers of operations. */
  readonly #underWay = new Set<number>();
  readonly #groups = new Map<string, UnknownGroup>();
  #configurations = new Configurations();
  #groupsMade = 0;
  #steps = 0;

  constructor(operations: readonly RegisterOperation[], bounds: SearchBounds) {
    this.#operations = withoutNames(operations);
    this.#bounds = bounds;
    this.#outlook = new Outlook(this.#operations);
    this.#configurations.add({ value: NOTHING, done: [], used: [] });
  }

  run(): SearchResult {
    for (const { number, isBegin } of momentsOf(this.#operations)) {
      const operation = this.#operations[number] as RegisterOperation;
      if (isBegin) {
        this.#begin(number, operation);
        continue;
      }
      const isDecided = this.#end(number, operation);
      if (!isDecided) return { type: 'undecided', at: operation };
      if (this.#configurations.size === 0) return { type: 'impossible', at: operation };
    }
    return { type: 'possible' };
  }

  #begin(number: number, operation: RegisterOperation): void {
    if (isUnknown(operation)) {
      if (this.#outlook.isRelevant(operation)) this.#beginUnknown(operation);
      return;
    }
    this.#underWay.add(number);
    if (leaves(operation.action) !== null) return;
    const next = new Configurations();
    for (const configuration of this.#configurations) next.add(this.#settled(configuration));
    this.#configurations = next;
  }

  #beginUnknown(operation: RegisterOperation): void {
    const { action } = operation;
    const name = `${action.kind} ${needs(action)} ${leaves(action)}`;
    const group = this.#groups.get(name);
    if (group === undefined) {
      this.#groupsMade += 1;
      this.#groups.set(name, { id: this.#groupsMade, operation, begun: 1 });
    } else {
      group.begun += 1;
    }
  }

  /** It must be in the order by now. @returns false: a bound was reached */
  #end(number: number, operation: RegisterOperation): boolean {
    const next = new Configurations();
    const seen = new Configurations();
    for (const configuration of this.#configurations) {
      if (configuration.done.includes(number)) {
        next.add({ ...configuration, done: withoutDone(configuration.done, number) });
      } else if (!this.#reach(configuration, number, { next, seen })) {
        return false;
      }
    }
    this.#underWay.delete(number);
    this.#outlook.ended(operation);
    this.#configurations = this.#tidied(next, operation);
    return true;
  }

  /** All configurations in which the operation has just been done, after as few others as it takes. */
  #reach(
    from: Configuration,
    wanted: number,
    { next, seen }: { next: Configurations; seen: Configurations },
  ): boolean {
    const open = [from];
    for (let one = open.pop(); one !== undefined; one = open.pop()) {
      for (const after of this.#successors(one)) {
        this.#steps += 1;
        if (after.done.includes(wanted)) {
          next.add({ ...after, done: withoutDone(after.done, wanted) });
        } else if (seen.add(after)) {
          open.push(after);
        }
      }
      const isOver = seen.size + next.size > this.#bounds.configurationsMax;
      if (isOver || this.#steps > this.#bounds.stepsMax) return false;
    }
    return true;
  }

  /** What can be done next. Operations that only look are done as soon as they can be: that is in nobody's way. */
  *#successors(from: Configuration): Generator<Configuration> {
    for (const number of this.#underWay) {
      if (from.done.includes(number)) continue;
      const { action } = this.#operations[number] as RegisterOperation;
      const left = leaves(action);
      if (left === null) continue;
      const before = action.kind === 'cas' ? from : this.#withUnseenPuts(from, number);
      if (!isPossible(action, before.value)) continue;
      const after = { ...before, done: withDone(before.done, number), value: left };
      if (this.#isAlive(from, after)) yield this.#settled(after);
    }
    for (const group of this.#groups.values()) {
      const { action } = group.operation;
      const left = leaves(action) as ValueId;
      if (left === from.value || usedOf(from.used, group.id) >= group.begun) continue;
      if (!isPossible(action, from.value) || !this.#isAwaited(left, from)) continue;
      const after = { ...from, value: left, used: withOneMore(from.used, group.id) };
      if (this.#isAlive(from, after)) yield this.#settled(after);
    }
  }

  /** Puts that nobody sees are done just before another write. */
  #withUnseenPuts(from: Configuration, writer: number): Configuration {
    let { done, value } = from;
    for (const number of this.#underWay) {
      if (number === writer || done.includes(number)) continue;
      const operation = this.#operations[number] as RegisterOperation;
      if (!this.#outlook.isUnseenPut(operation)) continue;
      done = withDone(done, number);
      value = UNNAMED;
    }
    return done === from.done ? from : { ...from, done, value };
  }

  /** Is there an operation now that could do with this value? Else a write of unknown outcome can wait. */
  #isAwaited(value: ValueId, { done }: Configuration): boolean {
    for (const number of this.#underWay) {
      if (done.includes(number)) continue;
      const { action } = this.#operations[number] as RegisterOperation;
      const takesAny = needs(action) === null && !isVague(action);
      if (!takesAny && isPossible(action, value)) return true;
    }
    for (const { operation } of this.#groups.values()) {
      if (operation.action.kind === 'cas' && operation.action.old === value) return true;
    }
    return false;
  }

  /** False: somebody is still to find the value that was overwritten here, and nobody can write it again. */
  #isAlive(before: Configuration, after: Configuration): boolean {
    const { value } = before;
    if (value === after.value) return true;
    let finders = this.#outlook.findersLeft(value);
    if (finders === 0) return true;
    let writers = this.#outlook.writersLeft(value);
    for (const number of after.done) {
      const { action } = this.#operations[number] as RegisterOperation;
      if (needs(action) === value) finders -= 1;
      if (leaves(action) === value) writers -= 1;
    }
    if (finders <= 0) return true;
    for (const { id, operation } of this.#groups.values()) {
      if (leaves(operation.action) === value) writers -= usedOf(after.used, id);
    }
    return writers > 0;
  }

  #settled(configuration: Configuration): Configuration {
    let { done } = configuration;
    for (const number of this.#underWay) {
      const { action } = this.#operations[number] as RegisterOperation;
      if (leaves(action) !== null || !isPossible(action, configuration.value)) continue;
      done = withDone(done, number);
    }
    return done === configuration.done ? configuration : { ...configuration, done };
  }

  /** When the last one that was to find a value has ended, it does not matter who wrote it. */
  #tidied(configurations: Configurations, { action, end }: RegisterOperation): Configurations {
    const found = needs(action);
    if (found === null || found === NOTHING || this.#outlook.findersLeft(found) > 0) {
      return configurations;
    }
    const gone = new Set<number>();
    for (const { id, operation } of this.#groups.values()) {
      const isIt = leaves(operation.action) === found;
      if (isIt && !this.#outlook.isRelevantAfter(operation, end)) gone.add(id);
    }
    if (gone.size === 0) return configurations;
    const next = new Configurations();
    for (const one of configurations) {
      next.add({ ...one, used: withoutGroups(one.used, (group) => gone.has(group)) });
    }
    for (const [name, { id }] of this.#groups) if (gone.has(id)) this.#groups.delete(name);
    return next;
  }
}

/** Values that nobody names in an answer become one. */
function withoutNames(operations: readonly RegisterOperation[]): readonly RegisterOperation[] {
  const named = new Set<ValueId>([NOTHING]);
  for (const { action } of operations) {
    const found = action.kind === 'refused' ? action.old : needs(action);
    if (found !== null) named.add(found);
  }
  return operations.map((operation) => {
    const { action } = operation;
    if (action.kind !== 'put' && action.kind !== 'cas') return operation;
    return named.has(action.value)
      ? operation
      : { ...operation, action: { ...action, value: UNNAMED } };
  });
}

interface Moment {
  readonly time: number;
  readonly isBegin: boolean;
  readonly number: number;
}

/** Begins and ends in the order of time. At equal times the begin counts as earlier: the two were at once. */
function momentsOf(operations: readonly RegisterOperation[]): Moment[] {
  const moments: Moment[] = [];
  operations.forEach((operation, number) => {
    moments.push({ time: operation.begin, isBegin: true, number });
    if (!isUnknown(operation)) moments.push({ time: operation.end, isBegin: false, number });
  });
  return moments.sort((a, b) => a.time - b.time || Number(b.isBegin) - Number(a.isBegin));
}
