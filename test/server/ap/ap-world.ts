import { packCall } from '../../../src/base/call-codec.js';
import { Cell, cellKey } from '../../../src/base/cell.js';
import { AP_PASTS } from '../../../src/base/command-versions.js';
import type { CellChange, CellType, CellWrite } from '../../../src/base/delta.js';
import { BalsaError } from '../../../src/base/errors.js';
import type { Limits } from '../../../src/base/limits.js';
import {
  type Execution,
  type Executor,
  failedExecution,
  type ProcedureCall,
  type StoreSource,
} from '../../../src/compute/execution.js';
import type { CallAnswer } from '../../../src/server/calls/call-types.js';
import { identityOf } from '../../../src/server/calls/runner.js';
import type { StateMachineOptions } from '../../../src/statemachine/state-machine.js';
import { ReplicaWorld, type TestMachine } from '../replica-world.js';
import { Scheduler } from '../test-scheduler.js';

/** What a call is to do, in the place of code. */
export interface Body {
  readonly key: string;
  readonly change?: CellChange;
  /** As many rights as it has, at most so many. */
  readonly take?: number;
  /** What was done is an entry of this log: `[what, taken]`, or `[what, items removed]`. */
  readonly noted?: { readonly log: string; readonly what: string };
  /** All of the items of a set that it sees are removed. */
  readonly clears?: boolean;
}

const EMPTY = { reads: [], ranges: [], writes: [], updates: [], events: [] };

/** Runs {@link Body} as code would be. */
class BodyExecutor implements Executor {
  /** Called when a call has run, and has changed nothing yet. */
  onRun: () => Promise<void> = () => Promise.resolve();
  runs = 0;

  async run(call: ProcedureCall, mode: string, source: StoreSource): Promise<Execution> {
    this.runs += 1;
    const body = JSON.parse(call.args) as Body;
    const before =
      mode === 'ap' ? source.cell(body.key) : (source.get(cellKey(body.key))?.value ?? null);
    const cell = before === null ? null : Cell.decode(before);
    await this.onRun();
    const changes = changesOf(body, cell, call.origin);
    const after = cell?.clone() ?? Cell.empty(changes[0]?.cell ?? 'counter');
    const stamp = { timeMs: call.nowMs, count: 0, origin: call.origin, call: '' };
    for (const [place, change] of changes.entries()) {
      if (after.apply(change, { ...stamp, place }, null)) continue;
      return {
        ...failedExecution(new BalsaError('INVALID_ARGUMENT', 'another type of cell')),
        logs: ['so far'],
      };
    }
    const cells = changes.map((change): CellWrite => ({ key: body.key, change }));
    if (body.noted !== undefined) cells.push(noteOf(body.noted, changes, body.clears === true));
    return { ok: true, logs: [], result: after.view(), effects: { ...EMPTY, cells } };
  }

  runGroup(): never {
    throw new Error('there is no lane here');
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function noteOf(
  { log, what }: NonNullable<Body['noted']>,
  changes: readonly CellChange[],
  isRemoval: boolean,
): CellWrite {
  const taken = changes.reduce((sum, one) => sum + (one.cell === 'escrow' ? one.by : 0), 0);
  const removed = changes.flatMap((one) =>
    one.type === 'remove' && one.cell === 'set' ? one.item : [],
  );
  const value = JSON.stringify([what, isRemoval ? removed.map((item) => JSON.parse(item)) : taken]);
  return { key: log, change: { cell: 'log', type: 'append', value } };
}

function changesOf(body: Body, cell: Cell | null, origin: string): CellChange[] {
  if (body.take !== undefined) {
    const by = Math.min(body.take, cell?.rightsOf(origin) ?? 0);
    return by === 0 ? [] : [{ cell: 'escrow', type: 'take', by }];
  }
  if (body.clears === true) {
    const items = JSON.parse(cell?.view() ?? '[]') as unknown[];
    return items.map((value) => {
      const item = JSON.stringify(value);
      return { cell: 'set', type: 'remove', item, observed: cell?.tagsOf(item) ?? [] };
    });
  }
  return body.change === undefined ? [] : [body.change];
}

export const add = (by = 1): CellChange => ({ cell: 'counter', type: 'add', by });
export const append = (value: string): CellChange => ({
  ...{ cell: 'log', type: 'append', value: JSON.stringify(value) },
});
export const setAdd = (value: string): CellChange => ({
  ...{ cell: 'set', type: 'add', item: JSON.stringify(value), observed: [] },
});

const HASH = 'ab'.repeat(32);

/** Replicas that run `ap` calls, in simulated time. */
export class ApWorld {
  readonly world: ReplicaWorld;
  readonly executor = new BodyExecutor();
  #calls = 0;

  private constructor(members: readonly string[], limits: Partial<Limits>, seed: number) {
    this.world = new ReplicaWorld(members, limits, new Scheduler(seed));
    this.world.commandVersion = AP_PASTS;
    this.world.executor = this.executor;
  }

  static async start(
    count = 3,
    limits: Partial<Limits> = {},
    { seed = 3, state = {} }: { readonly seed?: number; readonly state?: StateMachineOptions } = {},
  ): Promise<ApWorld> {
    const members = Array.from({ length: count }, (_, i) => `n${i + 1}.1`);
    const ap = new ApWorld(members, limits, seed);
    ap.world.stateOptions = state;
    await ap.world.start();
    const procedures = [
      { name: 'p', mode: 'ap' as const, trigger: null },
      { name: 'look', mode: 'read' as const, trigger: null },
    ];
    await ap.world.ask({
      ...{ type: 'deploy', hash: HASH, code: Buffer.from('code'), alias: 'prod', procedures },
    });
    await ap.world.converge();
    return ap;
  }

  machine(place: number): TestMachine {
    return this.world.machine(`n${place}.1`);
  }

  /** Begins a call; its answer comes later. */
  begin(
    place: number,
    body: Body,
    {
      key,
      peers = 0,
      isNamed = key !== undefined,
      ageMs = null,
    }: {
      readonly key?: string;
      readonly peers?: number;
      readonly isNamed?: boolean;
      readonly ageMs?: number | null;
    } = {},
  ): { answer: CallAnswer | null } {
    this.#calls += 1;
    const told: { answer: CallAnswer | null } = { answer: null };
    const request = {
      ...{ procedure: 'p', args: JSON.stringify(body), bornIndex: 0 },
      ...{ key: Buffer.from(key ?? `call ${this.#calls}`), isNamed, ageMs },
    };
    const { replica } = this.machine(place);
    const call = { ...request, facts: () => replica.meta() };
    void replica.calls.callAp(call, { peers }, (answer) => {
      told.answer = answer;
    });
    return told;
  }

  /** @returns the result with what is said of it, or the code of an error */
  async call(
    place: number,
    body: Body,
    how: Parameters<ApWorld['begin']>[2] = {},
  ): Promise<string> {
    const told = this.begin(place, body, how);
    await this.world.until(() => told.answer !== null);
    return say(told.answer);
  }

  /** The leader is given the same call as {@link begin}, run as one of mode `cp`. @returns the code of an error, or nothing */
  async submit(body: Body, key: string, hash: string): Promise<string> {
    const { leader } = this.world;
    const bornIndex = leader?.replica.machine.appliedIndex ?? 0;
    const request = { procedure: 'p', args: JSON.stringify(body), bornIndex };
    const identity = identityOf({ ...request, key: Buffer.from(key), isNamed: true });
    const end = { ok: true, result: '"cp"' } as const;
    const record = packCall({ ...identity, ...EMPTY, hash, dependsOn: [], end });
    let told: CallAnswer | null = null;
    leader?.replica.calls.submit(record, (answer) => {
      told = answer;
    });
    await this.world.until(() => told !== null);
    return say(told);
  }

  /** The cell as a procedure sees it that only reads, with what is pending there. */
  async look(place: number, key: string, isLocal = true): Promise<unknown> {
    let told: CallAnswer | null = null;
    const request = {
      ...{ procedure: 'look', args: JSON.stringify({ key }), bornIndex: 0, isLocal },
      ...{ key: Buffer.from('look'), isNamed: false },
    };
    void this.machine(place).replica.calls.read(request, (answer) => {
      told = answer;
    });
    await this.world.until(() => told !== null);
    const answer = told as CallAnswer | null;
    return answer?.ok === true ? JSON.parse(answer.result) : say(answer);
  }

  /** What is merged, as one replica has it. */
  merged(place: number, key: string, type: CellType = 'counter'): unknown {
    const found = this.machine(place).replica.machine.get(Buffer.from(`_cells/${key}`), null);
    const cell = found === null ? Cell.empty(type) : Cell.decode(found.value);
    return JSON.parse(cell?.view() ?? '"no cell"');
  }

  pending(place: number): number {
    return this.machine(place).replica.calls.apStatus?.pending ?? -1;
  }

  /** Two sides that do not hear each other. */
  split(sides: readonly (readonly number[])[]): void {
    const id = (place: number): string => `n${place}.1`;
    for (const side of sides) {
      for (const other of sides) {
        if (side === other) continue;
        for (const from of side)
          for (const to of other) this.world.cut.add(`${id(from)}>${id(to)}`);
      }
    }
  }

  /** Nothing waits to be merged any more, and all have the same. */
  async settle(): Promise<void> {
    await this.world.until(() =>
      this.world.running.every(({ replica }) => replica.calls.apStatus?.pending === 0),
    );
    await this.world.converge();
  }
}

export function say(answer: CallAnswer | null): string {
  if (answer === null) return 'nothing';
  if (!answer.ok) return `${answer.error.code} ${answer.error.outcome}`;
  const { result, repeated, pending } = answer;
  return `${repeated ? 'again ' : ''}${result}${pending === true ? ' pending' : ''}`;
}
