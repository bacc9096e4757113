import {
  type Configuration,
  Configurations,
  type Kinds,
  usedOf,
  withNumber,
  withOneMore,
  withoutGroups,
  withoutNumber,
} from './configurations.js';
import { Outlook } from './outlook.js';
import {
  type Action,
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
  /** Configurations that are kept from the end of one operation to that of the next. */
  readonly configurationsMax: number;
  /** Steps of the whole search. */
  readonly stepsMax: number;
}

export const SEARCH_BOUNDS: SearchBounds = { configurationsMax: 20_000, stepsMax: 5_000_000 };

/** With so few configurations it is tried first: that an order is there shows when one of them lives on, whatever was left out. */
const NARROW = [8, 64, 512];

/**
 * Where there are more configurations than may be kept, some are left out. If one lives on to the end the history is possible all the same; if
 * none does, nothing is known.
 */
export function searchOrder(
  operations: readonly RegisterOperation[],
  bounds: SearchBounds = SEARCH_BOUNDS,
): SearchResult {
  const { configurationsMax, stepsMax } = bounds;
  for (const narrow of NARROW) {
    if (narrow >= configurationsMax) break;
    const result = new Search(operations, { configurationsMax: narrow, stepsMax }).run();
    if (result.type !== 'undecided') return result;
  }
  return new Search(operations, bounds).run();
}

/** Writes of unknown outcome that do the same: which of them it was does not matter. */
interface UnknownGroup {
  readonly id: number;
  readonly operation: RegisterOperation;
  /** Those that have begun. */
  begun: number;
}

/** Those on the way to the end of one operation may be so many times more than are kept. */
const REACHED_SHARE = 4;
const REACHED_MIN = 64;

/** Ends from one look at the groups to the next. */
const TIDY_EVERY = 16;

/** Stands for all values that nobody names: they cannot be told apart. */
const UNNAMED: ValueId = -1;

/** Two are alike only if they have done the same. */
const STRICT: Kinds = { isIdle: () => false, isUnseen: () => false };

class Search {
  readonly #operations: readonly RegisterOperation[];
  readonly #bounds: SearchBounds;
  readonly #outlook: Outlook;
  readonly #kinds: Kinds;
  /** Under way, of known outcome: numbers of operations. */
  readonly #underWay = new Set<number>();
  readonly #groups = new Map<string, UnknownGroup>();
  #configurations: Configurations;
  #isIncomplete = false;
  #groupsMade = 0;
  #ends = 0;
  #steps = 0;

  constructor(operations: readonly RegisterOperation[], bounds: SearchBounds) {
    this.#operations = withoutNames(operations);
    this.#kinds = {
      isIdle: (number, value) => {
        const { action } = this.#operations[number] as RegisterOperation;
        return leaves(action) === value && isPossible(action, value);
      },
      isUnseen: (number) => isUnseenPut((this.#operations[number] as RegisterOperation).action),
    };
    this.#bounds = bounds;
    this.#outlook = new Outlook(this.#operations);
    this.#configurations = new Configurations(this.#kinds);
    this.#configurations.add({ value: NOTHING, done: [], hidden: [], used: [] });
  }

  run(): SearchResult {
    for (const { number, isBegin } of momentsOf(this.#operations)) {
      const operation = this.#operations[number] as RegisterOperation;
      if (isBegin) {
        this.#begin(number, operation);
        continue;
      }
      this.#end(number, operation);
      if (this.#steps > this.#bounds.stepsMax) return { type: 'undecided', at: operation };
      if (this.#configurations.size > 0) continue;
      return { type: this.#isIncomplete ? 'undecided' : 'impossible', at: operation };
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
    const next = new Configurations(this.#kinds);
    for (const configuration of this.#configurations) next.add(this.#settled(configuration));
    this.#configurations = next;
  }

  #beginUnknown(operation: RegisterOperation): void {
    const { action } = operation;
    const name = nameOf(action);
    const group = this.#groups.get(name);
    if (group === undefined) {
      this.#groupsMade += 1;
      this.#groups.set(name, { id: this.#groupsMade, operation, begun: 1 });
    } else {
      group.begun += 1;
    }
  }

  /** It must be in the order by now. */
  #end(number: number, operation: RegisterOperation): void {
    let next = new Configurations(this.#kinds);
    // On the way each counts: one that does what changes nothing is a step to others.
    const seen = new Configurations(STRICT);
    const isHiddenEnough = !this.#outlook.mayBeSeen(operation);
    for (const configuration of this.#configurations) {
      const isHidden = configuration.hidden.includes(number);
      if (isHidden || configuration.done.includes(number)) next.add(without(configuration, number));
      if (configuration.done.includes(number) || (isHidden && isHiddenEnough)) continue;
      this.#reach(configuration, number, { next, seen, isHiddenEnough });
    }
    if (next.size > this.#bounds.configurationsMax) {
      next = next.best(this.#bounds.configurationsMax);
      this.#isIncomplete = true;
    }
    this.#underWay.delete(number);
    this.#outlook.ended(operation);
    this.#ends += 1;
    const isTime = this.#groups.size > 0 && this.#ends % TIDY_EVERY === 0;
    this.#configurations = isTime ? this.#tidied(next, operation.end) : next;
  }

  /** All configurations in which the operation has just been done, after as few others as it takes. */
  #reach(
    from: Configuration,
    wanted: number,
    parts: { next: Configurations; seen: Configurations; isHiddenEnough: boolean },
  ): void {
    const { next, seen, isHiddenEnough } = parts;
    // Short ways first: they need the fewest writes of unknown outcome. What is added on the way is gone through as well.
    const open = [from];
    for (const one of open) {
      for (const after of this.#successors(one, wanted)) {
        this.#steps += 1;
        const isHidden = after.hidden.includes(wanted) && !one.hidden.includes(wanted);
        const isDone = after.done.includes(wanted);
        if (isHidden || isDone) next.add(without(after, wanted));
        // Hidden, it could still be done later, where it is seen.
        if (!isDone && !(isHidden && isHiddenEnough) && seen.add(after)) open.push(after);
      }
      const reachedMax = Math.max(REACHED_MIN, this.#bounds.configurationsMax * REACHED_SHARE);
      if (seen.size + next.size > reachedMax) {
        this.#isIncomplete = true;
        return;
      }
    }
  }

  /** What can be done next. Operations that only look are done as soon as they can be: that is in nobody's way. */
  *#successors(from: Configuration, wanted: number): Generator<Configuration> {
    let isUnseenAwaited: boolean | null = null;
    for (const number of this.#underWay) {
      if (from.done.includes(number)) continue;
      const { action } = this.#operations[number] as RegisterOperation;
      const left = leaves(action);
      if (left === null || !isPossible(action, from.value)) continue;
      if (number !== wanted && this.#kinds.isUnseen(number)) {
        isUnseenAwaited ??= this.#isAwaited(UNNAMED, from);
        if (!isUnseenAwaited) continue;
      }
      const done = withNumber(from.done, number);
      const hidden = this.#hiddenBehind(from, action, number);
      const after = { ...from, value: left, done, hidden };
      if (this.#isAlive(from, after)) yield this.#settled(after);
    }
    for (const group of this.#groups.values()) {
      const { action } = group.operation;
      const left = leaves(action) as ValueId;
      if (usedOf(from.used, group.id) >= group.begun) continue;
      if (!isPossible(action, from.value) || !this.#isAwaited(left, from)) continue;
      const hidden = this.#hiddenBehind(from, action, -1);
      // One that leaves what is there is of use only to the puts that can have been done just before it.
      if (left === from.value && hidden === from.hidden) continue;
      const used = withOneMore(from.used, group.id);
      const after = { ...from, value: left, hidden, used };
      if (this.#isAlive(from, after)) yield this.#settled(after);
    }
  }

  /** All puts under way that nobody sees can have been done just before a write that does not ask what is there. */
  #hiddenBehind(from: Configuration, { kind }: Action, writer: number): readonly number[] {
    let { hidden } = from;
    if (kind !== 'cas') {
      for (const number of this.#underWay) {
        if (!this.#kinds.isUnseen(number) || from.done.includes(number)) continue;
        hidden = withNumber(hidden, number);
      }
    }
    return hidden.includes(writer) ? withoutNumber(hidden, writer) : hidden;
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
      done = withNumber(done, number);
    }
    return done === configuration.done ? configuration : { ...configuration, done };
  }

  /**
   * Leaves out groups that have no say any more: their writes were all needed, whichever way it went; or nobody is to find what they
   * leave; or what they need to find cannot come again.
   */
  #tidied(configurations: Configurations, time: number): Configurations {
    const gone = new Set<number>();
    const unnamed = new Set<number>();
    for (const [name, group] of this.#groups) {
      const { operation, begun } = group;
      if (this.#isOver(configurations, group, time)) gone.add(group.id);
      else if (this.#isUnnamed(operation, time)) unnamed.add(group.id);
      else continue;
      this.#groups.delete(name);
      this.#outlook.settled(operation, begun);
      if (!unnamed.has(group.id)) continue;
      const action = { kind: 'put' as const, value: UNNAMED };
      for (let n = 0; n < begun; n += 1) this.#beginUnknown({ ...operation, action });
    }
    if (gone.size + unnamed.size === 0) return configurations;
    const into = this.#groups.get(nameOf({ kind: 'put', value: UNNAMED }))?.id ?? -1;
    const next = new Configurations(this.#kinds);
    for (const one of configurations) {
      let used = withoutGroups(one.used, (id) => gone.has(id) || unnamed.has(id));
      for (const id of unnamed) {
        for (let n = usedOf(one.used, id); n > 0; n -= 1) used = withOneMore(used, into);
      }
      next.add({ ...one, used });
    }
    return next;
  }

  /** A put whose value nobody is to name any more is as good as any other. */
  #isUnnamed({ action }: RegisterOperation, time: number): boolean {
    if (action.kind !== 'put' || action.value === UNNAMED || action.value === NOTHING) return false;
    return this.#outlook.isUnnamedAfter(action.value, time);
  }

  #isOver(
    configurations: Configurations,
    { id, operation, begun }: UnknownGroup,
    time: number,
  ): boolean {
    const { action } = operation;
    let isUsedUp = true;
    let canHappen = needs(action) === null || this.#outlook.writersLeft(needs(action) ?? 0) > 0;
    for (const { value, used } of configurations) {
      isUsedUp &&= usedOf(used, id) >= begun;
      canHappen ||= needs(action) === value;
    }
    if (isUsedUp || !canHappen) return true;
    const left = leaves(action) as ValueId;
    const isSought = left === NOTHING || this.#outlook.findersLeft(left) > 0;
    return !isSought && !this.#outlook.isRelevantAfter(operation, time);
  }
}

function nameOf(action: Action): string {
  return `${action.kind} ${needs(action)} ${leaves(action)}`;
}

function isUnseenPut(action: Action): boolean {
  return action.kind === 'put' && action.value === UNNAMED;
}

function without(configuration: Configuration, number: number): Configuration {
  const { done, hidden } = configuration;
  return {
    ...configuration,
    done: withoutNumber(done, number),
    hidden: withoutNumber(hidden, number),
  };
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
