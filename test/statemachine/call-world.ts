import { isDeepStrictEqual } from 'node:util';
import type { KeyDefault, KeyUpdate } from '../../src/base/call.js';
import { unpackCallOutcome } from '../../src/base/call-codec.js';
import type { WriteOperation } from '../../src/base/operation.js';
import type { BatchAnswer } from '../../src/statemachine/types.js';
import { startWithProcedure, submitAt } from './call-records.js';
import { type Item, type Pending, Sight, type State, StateView, writesOf } from './call-sight.js';
import { type Action, isWithin, type NaiveRun, runProcedure } from './naive-procedures.js';
import { text } from './operations.js';
import { same } from './plain.js';
import { del, put, type Replica, readAll } from './replica.js';

/** A call as a test plans it. */
export interface PlannedCall {
  readonly actions: readonly Action[];
  /** It reads the state so many entries ago. */
  readonly behind: number;
  /** Which of the calls before it in its entry it sees. */
  readonly sees: readonly boolean[];
  /** An earlier call that is asked again, if there is one. */
  readonly retryOf: number | null;
}

export interface PlannedEntry {
  /** By a batch of the same entry; `null`: deleted. */
  readonly writes: readonly (readonly [key: string, value: string | null])[];
  readonly calls: readonly PlannedCall[];
}

/** A call that was run. */
interface Executed {
  readonly name: string;
  readonly actions: readonly Action[];
  readonly run: NaiveRun;
  readonly sight: Sight;
  /** It has read a state that is not the latest. */
  readonly isLate: boolean;
}

/** The revision of what each call of the entry in hand wrote; `null`: it was not applied. */
type Revisions = readonly (number | null)[];

/**
 * A state machine beside the plainest model of it: a call is applied rightly if its code, run again by the model at its
 * place in the log, reads and writes the same. It is rejected wrongly if nothing that it has read has changed.
 */
export class CallWorld {
  /** What came about, and how often. */
  readonly seen = new Map<string, number>();
  readonly #replica: Replica;
  /** After each entry. */
  readonly #states: State[] = [new Map()];
  #state = new Map<string, Item>();
  #revision = 0;
  /** Of each call, by its number. */
  readonly #actions: (readonly Action[])[] = [];
  /** What was answered first, by the name of the call. */
  readonly #applied = new Map<string, string>();

  private constructor(replica: Replica) {
    this.#replica = replica;
  }

  static async start(): Promise<CallWorld> {
    return new CallWorld(await startWithProcedure());
  }

  async run(entries: readonly PlannedEntry[]): Promise<void> {
    for (const entry of entries) await this.#entry(entry);
  }

  /** Comes back with the state after some entry, and applies the rest again. */
  async restart(place: number): Promise<void> {
    const { stateHash } = this.#replica.machine;
    await this.#replica.restart(place % (this.#replica.log.length + 1));
    same(this.#replica.machine.stateHash, stateHash);
    await this.#compareStates();
  }

  async #entry({ writes, calls }: PlannedEntry): Promise<void> {
    const executed: Executed[] = [];
    for (const planned of calls) {
      const call = this.#execute(planned, executed);
      if (!call.sight.isBlocked(call.run)) executed.push(call);
      else this.#note('blocked');
    }
    const operations = writes.map(
      ([key, value]): WriteOperation => (value === null ? del(key) : put(key, value)),
    );
    const records = executed.map(({ name, run, sight }) => sight.record(name, run));
    const answers = await submitAt(this.#replica, 0, records, operations);
    for (const [key, value] of writes) this.#write(new Map([[key, value]]));
    const revisions: (number | null)[] = [];
    for (const [place, one] of executed.entries()) {
      revisions.push(this.#judge(one, answers[place], revisions));
    }
    this.#states.push(new Map(this.#state));
    await this.#compareStates();
  }

  #execute(
    { behind, sees, retryOf, ...planned }: PlannedCall,
    before: readonly Executed[],
  ): Executed {
    const known = retryOf === null ? undefined : this.#actions[retryOf];
    const number = known === undefined ? this.#actions.length : retryOf;
    const actions = known ?? planned.actions;
    if (known === undefined) this.#actions.push(actions);
    const latest = this.#states.length - 1;
    const base = this.#states[Math.max(0, latest - behind)] as State;
    const overlay = new Map<string, Pending>();
    const updated: string[] = [];
    for (const [place, { run }] of before.entries()) {
      if (sees[place] !== true) continue;
      for (const [key, value] of writesOf(run)) overlay.set(key, { value, place });
      updated.push(...run.updates.map(({ key }) => text(key)));
    }
    const sight = new Sight(base, overlay, updated);
    const run = runProcedure(actions, sight);
    return { name: `${number}`, actions, run, sight, isLate: behind > 0 };
  }

  /** @returns the revision of what it wrote; `null`: it was not applied */
  #judge(call: Executed, answer: BatchAnswer | undefined, revisions: Revisions): number | null {
    const { name, run, sight } = call;
    const first = this.#applied.get(name);
    if (first !== undefined) {
      same(wordOf(answer), `again ${first}`);
      this.#note('repeated');
      return null;
    }
    const rerun = runProcedure(call.actions, new StateView(this.#state));
    const holds = this.#holds(call, revisions);
    if (holds) same(rerun, run, 'the model reads the same where nothing has changed');
    const said = wordOf(answer);
    if (said === 'TXN_CONFLICT') {
      same(holds, false, 'nothing of what it has read has changed');
      const fallen = sight.dependsOn(run).some((place) => typeof revisions[place] !== 'number');
      this.#note(fallen ? 'rejected with one before' : 'rejected');
      if (isDeepStrictEqual(rerun.trace, run.trace)) this.#note('rejected with the same values');
      return null;
    }
    same(rerun, run, 'what it reads and writes at its place in the log');
    const expected = this.#apply(run);
    same(said, expected);
    if (!expected.includes('@')) {
      this.#note(expected);
      return null;
    }
    this.#applied.set(name, expected);
    this.#note(sight.dependsOn(run).length > 0 ? 'applied on pending' : 'applied');
    if (sight.hasPendingRange(run)) this.#note('applied on a pending range');
    if (run.ranges.length > 0 && call.isLate) this.#note('applied with an old range');
    return this.#revision;
  }

  /** Nothing that it has read has changed. */
  #holds({ run, sight }: Executed, revisions: Revisions): boolean {
    const revisionOf = (key: string) => sight.revisionOf(key, (place) => revisions[place] ?? -1);
    const now = (key: string) => this.#state.get(key)?.revision ?? 0;
    const there = [...this.#state.keys()];
    return (
      sight.dependsOn(run).every((place) => typeof revisions[place] === 'number') &&
      run.reads.every((key) => revisionOf(key) === now(key)) &&
      run.ranges.every((range) => {
        const keys = new Set([...sight.keys(), ...there]);
        return [...keys].every((key) => !isWithin(key, range) || revisionOf(key) === now(key));
      })
    );
  }

  /** @returns what is to be answered */
  #apply(run: NaiveRun): string {
    if (!run.end.ok) return run.end.code;
    const writes = new Map(writesOf(run));
    for (const update of run.updates) {
      const key = text(update.key);
      const value = updatedValue(update, writes.get(key) ?? this.#state.get(key)?.value ?? null);
      if (value === 'not a number') return 'PROCEDURE_FAILED';
      if (value !== null) writes.set(key, value);
    }
    this.#write(writes);
    return `${run.end.result}@${this.#revision}`;
  }

  /** All at one revision. */
  #write(writes: ReadonlyMap<string, string | null>): void {
    const changes = [...writes].filter(([key, value]) => value !== null || this.#state.has(key));
    if (changes.length === 0) return;
    this.#revision += 1;
    for (const [key, value] of changes) {
      if (value === null) this.#state.delete(key);
      else this.#state.set(key, { value, revision: this.#revision });
    }
  }

  async #compareStates(): Promise<void> {
    const { machine } = this.#replica;
    const items = (await readAll(machine, {})).map(({ key, value, mod }) => [key, value, mod]);
    const expected = [...this.#state].map(([key, { value, revision }]) => [key, value, revision]);
    same(items, expected.sort(byKey));
    same(machine.revision, this.#revision);
  }

  #note(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }
}

function byKey([a]: readonly unknown[], [b]: readonly unknown[]): number {
  return String(a) < String(b) ? -1 : 1;
}

/** `null`: it stays as it is. */
function updatedValue(
  update: KeyUpdate | KeyDefault,
  before: string | null,
): string | null | 'not a number' {
  if (update.type === 'set-if-absent') return before === null ? text(update.value) : null;
  // All numbers are whole here, and all else is not a number.
  if (before !== null && !/^-?\d+$/.test(before)) return 'not a number';
  if (before === null) return `${update.by}`;
  const number = Number(before);
  return `${update.type === 'add' ? number + update.by : Math.max(number, update.by)}`;
}

function wordOf(answer: BatchAnswer | undefined): string {
  if (answer === undefined) return 'none';
  if (!answer.ok) return answer.error.code;
  const { result, revision } = unpackCallOutcome(answer.results);
  return `${answer.repeated ? 'again ' : ''}${result}@${revision}`;
}
