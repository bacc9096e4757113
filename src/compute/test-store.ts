import { compareBytes, toMapKey } from '../base/bytes.js';
import {
  type Effects,
  type EmittedEvent,
  eventWrites,
  type KeyDefault,
  type KeyUpdate,
  type KeyWrite,
  updatedNumber,
} from '../base/call.js';
import { Cell, cellKey } from '../base/cell.js';
import { type CellWrite, ORIGIN_LENGTH } from '../base/delta.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import { seededRandom } from '../base/random.js';
import { CallView, cutError, limitReached } from './call-view.js';
import {
  CALL_LIMITS,
  type Execution,
  type ScanAnswer,
  type ScanQuery,
  type StoredKey,
} from './execution.js';
import { type AnyProcedure, jsonOf, nativeContext, refused } from './native-context.js';
import { inWorldOf, settled } from './native-world.js';
import type { CellKind, CellName, Json, Procedure, Schema, TriggerEvent } from './procedures.js';
import { type DueCall, DueCalls } from './test-due-calls.js';

export type { DueCall } from './test-due-calls.js';

/** The only one whose changes are merged here. */
const ORIGIN = '0'.repeat(ORIGIN_LENGTH);

/** Of a call of a {@link TestStore}. */
export interface TestCallOptions {
  /** What `ctx.now` and `Date` say, in milliseconds since 1970. Default: the time that the store was given, 0 at first. */
  readonly nowMs?: number | undefined;
  /** Of `ctx.random` and `Math.random`. Default: which call of the store it is, from 1. */
  readonly seed?: number | undefined;
}

/**
 * A store in memory in which a procedure runs as a function of this process: no cluster, no sandbox, microseconds. For the unit
 * tests of procedures. Calls run one after the other. What they read and write, the limits of both, what `ctx` refuses, and how a
 * call ends are as in a cluster; so are time and chance, which stand still in a call, and that nothing but its own promises can be
 * waited for. What an `ap` procedure changes is merged at once. What was scheduled, and triggers, are called by {@link TestStore.runDue}
 * alone. What is not as in a cluster: time and memory have no limits, nothing is taken away (a procedure that asks for `process` finds it here), and
 * what modules keep is there in the next call.
 *
 * @example
 * ```ts
 * const store = new TestStore({ 'account/ada': 10 });
 * await store.call(transfer, { from: 'ada', to: 'bob', amount: 4 });
 * expect(store.get('account/bob')).toBe(4);
 * ```
 */
export class TestStore {
  readonly #items = new Map<string, StoredKey>();
  readonly #due: DueCalls;
  #revision = 0;
  /** Of the last change of a cell. */
  #lastMs = 0;
  /** Calls that were begun. */
  #calls = 0;
  #last: Promise<unknown> = Promise.resolve();
  /** Events of calls that were applied, in order. */
  readonly events: { readonly name: string; readonly payload: Json }[] = [];
  /** What calls have logged. */
  readonly logs: string[] = [];
  nowMs = 0;

  /**
   * @param values by key; they are there before anything is deployed: triggers are not called with them
   * @param module what a file of procedures exports, `import * as bank from './bank.js'`: what is called by a name, and its triggers
   */
  constructor(values: Readonly<Record<string, Json>> = {}, module: object | null = null) {
    this.#due = new DueCalls(module);
    for (const [key, value] of Object.entries(values)) this.put(key, value);
    this.#due.forgetWrites();
  }

  /** Of the last call or put that has changed something. */
  get revision(): number {
    return this.#revision;
  }

  get(key: string): Json {
    const item = this.#items.get(toMapKey(Buffer.from(key)));
    return item === undefined ? null : jsonFrom(item);
  }

  /** @throws TypeError: the value is no JSON */
  put(key: string, value: Json): void {
    const json = jsonOf(`put of ${key}`, value);
    this.#write([{ key: Buffer.from(key), value: Buffer.from(json) }]);
  }

  delete(key: string): void {
    this.#write([{ key: Buffer.from(key), value: null }]);
  }

  /**
   * What a cell shows, as its handle gives it with `value`, `values` or `entries`.
   * @throws BalsaError `INVALID_ARGUMENT`: the key stands for one of another kind
   */
  cell<Kind extends CellKind, Value>(of: CellName<Kind, Value>): Json {
    const view = new CallView(this.#source(), CALL_LIMITS, 'ap');
    return JSON.parse(view.cell({ ...of, action: 'view', operands: [] })) as Json;
  }

  /** All keys, in order. */
  entries(): readonly (readonly [key: string, value: Json])[] {
    return this.#sorted().map((item) => [Buffer.from(item.key).toString(), jsonFrom(item)]);
  }

  /**
   * Runs a procedure, and applies what it wrote.
   * @throws BalsaError `PROCEDURE_ABORTED`, `PROCEDURE_FAILED` (the code threw: `cause` is what), `PROCEDURE_LIMIT`,
   *   `PROCEDURE_READ_ONLY`, `PROCEDURE_NOT_FOUND`, `CELL_FULL`, `INVALID_ARGUMENT` (the arguments are not what the schema says)
   */
  async call<Args, Result>(
    procedure: Procedure<Args, Result, 'cp' | 'read' | 'ap'>,
    args: Args,
    options: TestCallOptions = {},
  ): Promise<Awaited<Result>> {
    const { nowMs = this.nowMs } = options;
    return (await this.#inTurn(async () => {
      const execution = await this.#run(procedure, args, options);
      if (!execution.ok) throw execution.error;
      this.#apply(execution.effects);
      this.#merge(execution.effects.cells, nowMs);
      return JSON.parse(execution.result) as unknown;
    })) as Awaited<Result>;
  }

  /**
   * Makes the calls that are due at `nowMs` of the store: those that were scheduled, in the order of time, and triggers with what was
   * written since the store was made. It goes on until nothing is left: what these calls schedule and write may be due, too.
   *
   * @returns the calls in their order, with the errors of those that failed
   * @throws BalsaError `PROCEDURE_LIMIT`: they make each other due again and again
   */
  async runDue(): Promise<readonly DueCall[]> {
    const run = (procedure: AnyProcedure, args: unknown) =>
      this.#run(procedure, args, { nowMs: this.nowMs });
    const apply = (effects: Omit<Effects, 'cells'>) => this.#apply({ ...effects, cells: [] });
    return await this.#inTurn(() =>
      this.#due.runAll({ items: () => this.#sorted(), nowMs: this.nowMs, run, apply }),
    );
  }

  /** Calls see each other whole or not at all. */
  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(run);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #run(
    procedure: AnyProcedure,
    args: unknown,
    { nowMs = this.nowMs, seed }: TestCallOptions,
  ): Promise<Execution> {
    this.#calls += 1;
    const random = seededRandom(seed ?? this.#calls);
    const view = new CallView(this.#source(), CALL_LIMITS, procedure.mode, ORIGIN);
    const { logs } = view;
    try {
      const given = jsonOf('the arguments', args ?? null);
      checkBytes('argsBytesMax', given);
      const run = (ctx: object, called: AnyProcedure, json: unknown) =>
        handle(view, ctx, called, JSON.stringify(json));
      const ctx = nativeContext(view, { nowMs, random, run, ...this.#due.names });
      const world = { nowMs, random: () => random.next() };
      const begin = () => handle(view, ctx, procedure, given).catch(throwFailure);
      const result = JSON.stringify(await inWorldOf(world, () => settled(begin())));
      if (view.failure !== null) throw view.failure;
      checkBytes('resultBytesMax', result);
      const effects = view.effects();
      this.#checkUpdates(effects);
      return { ok: true, logs, result, effects };
    } catch (cause) {
      const error = view.failure ?? asBalsaError(cause);
      return { ok: false, logs, error, reads: view.effects() };
    } finally {
      this.logs.push(...logs);
    }
  }

  #source() {
    const items = this.#sorted();
    return {
      get: (key: Uint8Array): StoredKey | null => this.#items.get(toMapKey(key)) ?? null,
      cell: (key: string): Uint8Array | null =>
        this.#items.get(toMapKey(cellKey(key)))?.value ?? null,
      scan: ({ from, to, keysMax }: ScanQuery): ScanAnswer => {
        const inside = items.filter(
          ({ key }) => compareBytes(key, from) >= 0 && (to === null || compareBytes(key, to) < 0),
        );
        return { items: inside.slice(0, keysMax), more: inside.length > keysMax };
      },
    };
  }

  /** At once: nobody else is there. */
  #merge(cells: readonly CellWrite[], nowMs: number): void {
    this.#lastMs = Math.max(this.#lastMs, nowMs);
    const call = `${ORIGIN}:${this.#revision + 1}`;
    const time = { timeMs: this.#lastMs, count: 0 };
    const changed = new Map<string, Cell>();
    cells.forEach(({ key, change }, place) => {
      const stored = this.#items.get(toMapKey(cellKey(key)))?.value;
      const found = changed.get(key) ?? (stored === undefined ? null : Cell.decode(stored));
      const cell = found ?? Cell.empty(change.cell);
      cell.apply(change, { ...time, origin: ORIGIN, call, place }, { origins: [ORIGIN] });
      changed.set(key, cell);
    });
    this.#write([...changed].map(([key, cell]) => ({ key: cellKey(key), value: cell.encode() })));
  }

  #apply({ writes, updates, events }: Effects): void {
    this.#write([...writes, ...this.#updated(updates), ...eventWrites(events)]);
    this.events.push(...events.map(toEvent));
  }

  /** @throws BalsaError `PROCEDURE_FAILED` */
  #checkUpdates({ updates }: Effects): void {
    this.#updated(updates);
  }

  /** One after the other: several may be of the same key. */
  #updated(updates: readonly (KeyUpdate | KeyDefault)[]): KeyWrite[] {
    const changed = new Map<string, KeyWrite>();
    for (const update of updates) {
      const { key } = update;
      const mapKey = toMapKey(key);
      const current = (changed.get(mapKey) ?? this.#items.get(mapKey))?.value ?? null;
      if (update.type !== 'set-if-absent') {
        changed.set(mapKey, { key, value: afterUpdate(update, current) });
      } else if (current === null) changed.set(mapKey, { key, value: update.value });
    }
    return [...changed.values()];
  }

  /** At one revision. */
  #write(writes: readonly KeyWrite[]): void {
    const changes = writes.filter(
      ({ key, value }) => value !== null || this.#items.has(toMapKey(key)),
    );
    if (changes.length === 0) return;
    this.#revision += 1;
    for (const { key, value } of changes) {
      const mapKey = toMapKey(key);
      if (value === null) this.#items.delete(mapKey);
      else this.#items.set(mapKey, { key, value, modRevision: this.#revision });
    }
    this.#due.written(changes.map((change) => this.#eventOf(change)));
  }

  #eventOf({ key, value }: KeyWrite): TriggerEvent {
    const type = value === null ? 'delete' : 'put';
    const json = value === null ? null : (JSON.parse(Buffer.from(value).toString()) as Json);
    return { type, key: Buffer.from(key).toString(), value: json, revision: this.#revision };
  }

  #sorted(): StoredKey[] {
    return [...this.#items.values()].sort((a, b) => compareBytes(a.key, b.key));
  }
}

/** Checks the arguments and runs the handler, with nothing in common with the caller but JSON. */
async function handle(
  view: CallView,
  ctx: object,
  procedure: AnyProcedure,
  json: string,
): Promise<unknown> {
  const given = JSON.parse(json) as unknown;
  const schema = procedure.args ?? null;
  const valid = schema === null ? given : await validated(view, schema, given);
  const result = await procedure.handler(ctx as never, valid as never);
  return JSON.parse((JSON.stringify(result) as string | undefined) ?? 'null') as unknown;
}

async function validated(view: CallView, schema: Schema, args: unknown): Promise<unknown> {
  const outcome = await schema['~standard'].validate(args);
  if (outcome.issues === undefined) return outcome.value;
  const texts = outcome.issues.map(({ message, path }) => {
    const keys = (path ?? []).map((part) => String(typeof part === 'object' ? part.key : part));
    return keys.length === 0 ? message : `${keys.join('.')}: ${message}`;
  });
  return refused(view, 'INVALID_ARGUMENT', `arguments: ${texts.join('; ')}`);
}

/** @throws BalsaError `PROCEDURE_LIMIT` */
function checkBytes(limit: 'argsBytesMax' | 'resultBytesMax', json: string): void {
  const max = CALL_LIMITS[limit];
  if (Buffer.byteLength(json) > max) throw limitReached(limit, max);
}

/** @throws BalsaError `PROCEDURE_FAILED` */
function afterUpdate(update: KeyUpdate, current: Uint8Array | null): Buffer {
  const after = updatedNumber(update, current);
  if (typeof after === 'number') return Buffer.from(JSON.stringify(after));
  const shown = JSON.stringify(Buffer.from(update.key).toString());
  const message = `ctx.${update.type} of ${shown}: ${after}`;
  throw new BalsaError('PROCEDURE_FAILED', message, { outcome: 'not-applied' });
}

function jsonFrom({ value }: StoredKey): Json {
  return JSON.parse(Buffer.from(value).toString('utf8')) as Json;
}

function toEvent({ name, payload }: EmittedEvent): {
  readonly name: string;
  readonly payload: Json;
} {
  return { name, payload: JSON.parse(payload) as Json };
}

/** What the code threw. */
function throwFailure(cause: unknown): never {
  const { text, stack } = describe(cause);
  const facts = { outcome: 'not-applied', details: { stack }, cause } as const;
  const error = new BalsaError('PROCEDURE_FAILED', `the procedure threw ${text}`, facts);
  throw cutError(error, CALL_LIMITS);
}

function describe(thrown: unknown): { readonly text: string; readonly stack: string } {
  if (typeof thrown !== 'object' || thrown === null) return { text: String(thrown), stack: '' };
  const { name = 'Error', message, stack = '' } = thrown as Partial<Error>;
  if (message === undefined) return { text: JSON.stringify(thrown), stack: '' };
  return { text: name === '' || name === 'Error' ? message : `${name}: ${message}`, stack };
}
