/**
 * For the authors of stored procedures: `import { ap, procedure, read } from 'balsa/procedures'`. It runs in the sandbox, beside
 * their code, and imports nothing but types. For those who call them: `references`; for jobs: `job`.
 */
import type { JobDefinition } from '../base/job-definition.js';

export type { JobDefinition, JobInput, StageDefinition } from '../base/job-definition.js';

/** What goes in and out of a procedure, and into keys: what JSON can say. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [field: string]: Json | undefined };

/** A validator of any library that speaks Standard Schema (https://standardschema.dev): zod, valibot, arktype. */
export interface Schema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Validated<Output> | Promise<Validated<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

type Validated<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

type InputOf<S extends Schema> = NonNullable<S['~standard']['types']>['input'];
type OutputOf<S extends Schema> = NonNullable<S['~standard']['types']>['output'];

/** Which keys {@link ReadContext.scan} gives: all when neither prefix nor from nor to is there. */
export type ScanOptions = { readonly limit?: number | undefined } & (
  | {
      readonly prefix?: string | undefined;
      readonly from?: undefined;
      readonly to?: undefined;
    }
  | {
      readonly prefix?: undefined;
      readonly from?: string | undefined;
      /** The first key that is not in it any more. */
      readonly to?: string | undefined;
    }
);

export interface ScannedItem {
  readonly key: string;
  readonly value: Json;
}

/** What a procedure that was declared with {@link read} may do. */
export interface ReadContext {
  /** When the call began, in milliseconds since 1970; `Date` says the same. It stands still. */
  readonly now: number;
  /** From 0, below 1; as `Math.random`. */
  random(): number;
  /** What `key` holds, as of the one revision that the whole call reads at; `null`: nothing. */
  get<Value extends Json = Json>(key: string): Value | null;
  /** Keys in order, with the own writes among them. */
  scan(options?: ScanOptions): Promise<ScannedItem[]>;
  /** A mergeable cell: as it is merged. In an {@link ap} procedure: as it is seen at the replica. */
  cell<Kind extends CellKind, Value>(of: CellName<Kind, Value>): CellReaders<Value>[Kind];
  /**
   * Another procedure of the same file, in the same transaction: it sees what this one wrote, and what it writes comes into
   * being with the rest. What it may write depends on the procedure that was called first: one that only reads writes nothing,
   * an {@link ap} procedure cells only.
   * @param procedure itself, or the name that it is exported under
   */
  call<Result>(procedure: Procedure<void, Result, 'cp' | 'read' | 'ap'>): Promise<Result>;
  call<Args, Result>(
    procedure: Procedure<Args, Result, 'cp' | 'read' | 'ap'> &
      (undefined extends Args ? unknown : never),
  ): Promise<Result>;
  call<Args, Result>(
    procedure: Procedure<Args, Result, 'cp' | 'read' | 'ap'>,
    args: NoInfer<Args>,
  ): Promise<Result>;
  call(procedure: string, args?: Json): Promise<unknown>;
  /** A line for `balsa proc logs`. */
  log(...values: unknown[]): void;
  /** Of a call that is a task of a job: which one it is; `null`: it is none. */
  readonly task: TaskFacts | null;
  /** What the last attempt of this task that did not come to its end has given to {@link ReadContext.checkpoint}; `null`: nothing. */
  readonly lastCheckpoint: Json;
  /** How far the task is: whoever tries it next, should this attempt be lost, is given this. Of another call it does nothing. */
  checkpoint(value: Json): void;
  /** Ends the call: its caller is told `PROCEDURE_ABORTED` with the reason, and nothing is written. */
  abort(reason?: string): never;
}

/** What a procedure that is run as a task of a job is told of it. */
export interface TaskFacts {
  /** Id of the job. */
  readonly job: string;
  /** Name of the stage. */
  readonly stage: string;
  /** Which task of the stage, from 0. */
  readonly ordinal: number;
  /** From 1. */
  readonly attempt: number;
  /** What the job was submitted with. */
  readonly args: Json;
  readonly lastCheckpoint: Json;
}

/** What a procedure that was declared with {@link procedure} may do. Nothing is written before it has ended. */
export interface CpContext extends ReadContext {
  put(key: string, value: Json): void;
  delete(key: string): void;
  /** Adds to the number that `key` holds by then, 0 if nothing: it is not read, so that calls that add do not conflict. */
  add(key: string, by: number): void;
  /** As {@link CpContext.add}: the larger one of what is there by then and `by`. */
  max(key: string, by: number): void;
  /** Writes if there is nothing by then; it is not read. */
  setIfAbsent(key: string, value: Json): void;
  /** An event that comes into being with the writes: the key `_events/<name>/<n>`, where `n` counts within the call, from 0. */
  emit(name: string, payload?: Json): void;
  /**
   * Has a procedure called later, once, or again and again, whoever leads then. It comes into being with the writes, and the
   * call that is made together with what removes it: so it is made once.
   * @param procedure as it is exported, or of the same file; the code that its name stands for by then
   * @returns its id, for {@link CpContext.cancel}
   */
  schedule<Args>(
    when: Schedule,
    procedure: Procedure<Args, unknown, 'cp'> | string,
    args: NoInfer<Args>,
  ): string;
  /** Takes back what was scheduled. @returns whether it was still to come */
  cancel(id: string): boolean;
}

/** What a procedure that was declared with {@link ap} may do: it writes cells only. */
export interface ApContext extends ReadContext {
  /** A mergeable cell as it is seen at this replica, with the own changes: also those that are not merged yet. */
  cell<Kind extends CellKind, Value>(of: CellName<Kind, Value>): Cells<Value>[Kind];
}

/** When a call is due: one of `atMs`, `inMs` and `cron`. */
export interface Schedule {
  /** Milliseconds since 1970. */
  readonly atMs?: number | undefined;
  /** Milliseconds from `ctx.now` on. */
  readonly inMs?: number | undefined;
  /** Again and again: a cron expression of five fields, or six with seconds first, UTC. */
  readonly cron?: string | undefined;
  /** Takes the place of what was scheduled under it before. Default: one of its own. */
  readonly id?: string | undefined;
}

/** What was written to a key, for a {@link trigger}. */
export interface TriggerEvent {
  readonly type: 'put' | 'delete';
  readonly key: string;
  /** What the JSON there says; the text itself where that is none; `null` in a deletion. */
  readonly value: Json;
  readonly revision: number;
}

/** A procedure as it is exported, deployed, and called. */
export interface Procedure<Args, Result, Mode extends 'cp' | 'read' | 'ap'> {
  readonly mode: Mode;
  readonly args: Schema | null;
  readonly handler: (ctx: never, args: never) => unknown;
  /** Keys with this prefix are those whose writes it is called with. */
  readonly trigger?: string;
  /** Of types alone; never there. */
  readonly types?: { readonly args: Args; readonly result: Result };
}

/** What it returns may be a promise, or be one now and then. */
type Handler<Context, Args, Returned> = (ctx: Context, args: Args) => Returned;

interface WithSchema<Context, S extends Schema, Returned> {
  /** Checks the arguments before the handler has them. */
  readonly args: S;
  readonly handler: Handler<Context, OutputOf<S>, Returned>;
}

interface WithoutSchema<Context, Args, Returned> {
  readonly args?: undefined;
  readonly handler: Handler<Context, Args, Returned>;
}

/**
 * A strictly serializable transaction: it sees one revision and its own writes, and they come into being together or not at
 * all.
 */
export function procedure<S extends Schema, Returned>(
  definition: WithSchema<CpContext, S, Returned>,
): Procedure<InputOf<S>, Awaited<Returned>, 'cp'>;
export function procedure<Args = void, Returned = unknown>(
  definition: WithoutSchema<CpContext, Args, Returned>,
): Procedure<Args, Awaited<Returned>, 'cp'>;
export function procedure(
  definition: WithSchema<CpContext, Schema, unknown> | WithoutSchema<CpContext, unknown, unknown>,
): Procedure<unknown, unknown, 'cp'> {
  return { mode: 'cp', args: definition.args ?? null, handler: definition.handler };
}

/** Reads only, at one revision, at any replica. */
export function read<S extends Schema, Returned>(
  definition: WithSchema<ReadContext, S, Returned>,
): Procedure<InputOf<S>, Awaited<Returned>, 'read'>;
export function read<Args = void, Returned = unknown>(
  definition: WithoutSchema<ReadContext, Args, Returned>,
): Procedure<Args, Awaited<Returned>, 'read'>;
export function read(
  definition:
    | WithSchema<ReadContext, Schema, unknown>
    | WithoutSchema<ReadContext, unknown, unknown>,
): Procedure<unknown, unknown, 'read'> {
  return { mode: 'read', args: definition.args ?? null, handler: definition.handler };
}

/**
 * Stays available at any replica, also when that reaches no other one. It sees what is known there, and writes only cells
 * ({@link counter}, {@link set}...), whose changes are merged with those that were made elsewhere at the same time, each once.
 */
export function ap<S extends Schema, Returned>(
  definition: WithSchema<ApContext, S, Returned>,
): Procedure<InputOf<S>, Awaited<Returned>, 'ap'>;
export function ap<Args = void, Returned = unknown>(
  definition: WithoutSchema<ApContext, Args, Returned>,
): Procedure<Args, Awaited<Returned>, 'ap'>;
export function ap(
  definition: WithSchema<ApContext, Schema, unknown> | WithoutSchema<ApContext, unknown, unknown>,
): Procedure<unknown, unknown, 'ap'> {
  return { mode: 'ap', args: definition.args ?? null, handler: definition.handler };
}

/**
 * A procedure that is called with what is written to keys with a prefix, by whoever: each write once, in order, some at a time.
 * What it writes comes into being together with the note of how far it has come. It begins with the writes behind its
 * deployment. When it fails it is called again, with pauses; a write with which it fails again and again is skipped, and told by
 * `balsa proc logs`. History is not compacted before it was called with it, unless the store is full. What it writes to keys with
 * its own prefix calls it again.
 */
export function trigger<Returned>(definition: {
  readonly prefix: string;
  readonly handler: Handler<CpContext, readonly TriggerEvent[], Returned>;
}): Procedure<readonly TriggerEvent[], Awaited<Returned>, 'cp'> {
  const { prefix, handler } = definition;
  return { mode: 'cp', args: null, handler, trigger: prefix };
}

// ---------------------------------------------------------------------------------------------
// Cells

/** Names a cell: what `ctx.cell` takes. A key stands for a cell of one kind, the one that it was first written as. */
export interface CellName<Kind extends CellKind, Value> {
  readonly cell: Kind;
  readonly key: string;
  /** Of types alone; never there. */
  readonly types?: Value;
}

export type CellKind = keyof CellReaders<unknown>;

export interface CounterReader {
  /** The sum: exact in the store, here beyond 2^53 the nearest number that there is. */
  value(): number;
}
export interface Counter extends CounterReader {
  /** @param by a whole number, also a negative one; default 1 */
  add(by?: number): void;
}

export interface EscrowReader {
  value(): number;
  /** What can be taken here and now: the part of the value to which this replica has the rights. */
  rights(): number;
}
export interface Escrow extends EscrowReader {
  /** Raises it. Nobody has the rights to the new part before it is merged, when they are split among the replicas. */
  add(by: number): void;
  /** Lowers it, never below 0. @returns false: this replica has no rights for so much, and nothing is taken */
  take(by: number): boolean;
}

export interface SetReader<Item> {
  /** In an order of its own, which is the same at all replicas. */
  values(): Item[];
  has(item: NoInfer<Item>): boolean;
}
export interface SetCell<Item> extends SetReader<Item> {
  /** Items that are equal as JSON are one item. What is removed elsewhere at the same time stays. */
  add(item: NoInfer<Item>): void;
  remove(item: NoInfer<Item>): void;
}

export interface MapReader<Value> {
  entries(): Record<string, Value>;
  get(field: string): Value | null;
}
export interface MapCell<Value> extends MapReader<Value> {
  /** Of what is put at the same time, the latest stays; a field that is removed elsewhere at the same time stays, too. */
  put(field: string, value: NoInfer<Value>): void;
  remove(field: string): void;
}

export interface RegisterReader<Value> {
  /** `null`: none was ever set. */
  value(): Value | null;
}
export interface Register<Value> extends RegisterReader<Value> {
  /** Of what is set at the same time, the latest stays. */
  set(value: NoInfer<Value>): void;
}

export interface MultiValueReader<Value> {
  /** Several, when they were set at the same time; in an order that is the same at all replicas. */
  values(): Value[];
}
export interface MultiValue<Value> extends MultiValueReader<Value> {
  /** Takes the place of all that are seen here. */
  set(value: NoInfer<Value>): void;
}

export interface LogReader<Entry> {
  /** From the first one on, in the order of time. */
  entries(): Entry[];
}
export interface AppendLog<Entry> extends LogReader<Entry> {
  append(entry: NoInfer<Entry>): void;
}

/** What can be read of a cell, by its kind. */
export interface CellReaders<Value> {
  readonly counter: CounterReader;
  readonly escrow: EscrowReader;
  readonly set: SetReader<Value>;
  readonly map: MapReader<Value>;
  readonly register: RegisterReader<Value>;
  readonly 'multi-value': MultiValueReader<Value>;
  readonly log: LogReader<Value>;
}

/** What an {@link ap} procedure can do with a cell, by its kind. */
export interface Cells<Value> extends CellReaders<Value> {
  readonly counter: Counter;
  readonly escrow: Escrow;
  readonly set: SetCell<Value>;
  readonly map: MapCell<Value>;
  readonly register: Register<Value>;
  readonly 'multi-value': MultiValue<Value>;
  readonly log: AppendLog<Value>;
}

/** A sum that can be added to at many places at once. */
export function counter(key: string): CellName<'counter', number> {
  return Object.freeze({ cell: 'counter', key });
}

/** A number that is taken from at many places at once, and never falls below 0: stock, seats, a budget. */
export function escrow(key: string): CellName<'escrow', number> {
  return Object.freeze({ cell: 'escrow', key });
}

/** A set. What is added and removed at the same time is in it. */
export function set<Item extends Json>(key: string): CellName<'set', Item> {
  return Object.freeze({ cell: 'set', key });
}

/** Fields with values. */
export function map<Value extends Json>(key: string): CellName<'map', Value> {
  return Object.freeze({ cell: 'map', key });
}

/** One value: the latest. */
export function register<Value extends Json>(key: string): CellName<'register', Value> {
  return Object.freeze({ cell: 'register', key });
}

/** One value, or all that were set at the same time: for those who want to decide themselves. */
export function multiValue<Value extends Json>(key: string): CellName<'multi-value', Value> {
  return Object.freeze({ cell: 'multi-value', key });
}

/** A list that is only ever appended to. */
export function appendLog<Entry extends Json>(key: string): CellName<'log', Entry> {
  return Object.freeze({ cell: 'log', key });
}

// ---------------------------------------------------------------------------------------------
// Jobs

/**
 * Work that is split into tasks: an input, and stages that take what others give. Tasks are procedures of the cluster (`run`), or
 * what workers of users run (`task`). `db.submit` takes it.
 *
 * @example
 * ```ts
 * export const countWords = procedure({
 *   handler: (_ctx, texts: readonly { key: string; value: string }[]) => texts.length,
 * });
 * export const sum = procedure({ handler: (_ctx, counts: number[]) => counts.reduce((a, b) => a + b, 0) });
 * export const count = job({
 *   input: { prefix: 'text/', values: 'text' },
 *   stages: { map: { run: 'countWords' }, total: { kind: 'reduce', run: 'sum' } },
 * });
 * ```
 */
export function job(definition: JobDefinition): JobDefinition {
  return Object.freeze({ ...definition });
}

// ---------------------------------------------------------------------------------------------
// For callers

/** A procedure by its name, with the types of its arguments and of its result: what `db.call` of the client takes. */
export interface ProcedureReference<
  Args,
  Result,
  Mode extends 'cp' | 'read' | 'ap' = 'cp' | 'read' | 'ap',
> {
  readonly name: string;
  /** Of types alone; never there. */
  readonly types?: { readonly args: Args; readonly result: Result; readonly mode: Mode };
}

/** What an export is to its callers; `never`: it is no procedure. */
type ReferenceTo<Export> = Export extends {
  readonly mode: infer Mode extends 'cp' | 'read' | 'ap';
  readonly handler: (ctx: never, args: never) => unknown;
  readonly types?: { readonly args: infer Args; readonly result: infer Result };
}
  ? ProcedureReference<Args, Result, Mode>
  : never;

/** The procedures that a module exports, each as a reference. */
export type References<Module> = {
  readonly [Name in keyof Module as [ReferenceTo<Module[Name]>] extends [never]
    ? never
    : Name]: ReferenceTo<Module[Name]>;
};

export interface ReferencesOptions {
  /** Under which they were deployed. Default `prod`. */
  readonly alias?: string | undefined;
}

/**
 * The procedures of a module for `db.call`, with their types. Of the module only the types are used: its code is where it
 * was deployed to.
 *
 * @example
 * ```ts
 * import { connect } from 'balsa';
 * import { references } from 'balsa/procedures';
 *
 * const bank = references<typeof import('./bank.js')>();
 * await using db = await connect('127.0.0.1:7001');
 * const { result } = await db.call(bank.transfer, { from: 'ada', to: 'bob', amount: 5 });
 * console.log(result.left);
 * ```
 */
export function references<Module>({ alias }: ReferencesOptions = {}): References<Module> {
  const made = new Map<string, ProcedureReference<unknown, unknown>>();
  const get = (_target: object, name: string | symbol): unknown => {
    // Whoever gets one from an async function looks whether it is a promise.
    if (typeof name === 'symbol' || name === 'then') return undefined;
    const reference = made.get(name) ?? {
      name: alias === undefined ? name : `${name}@${alias}`,
    };
    made.set(name, Object.freeze(reference));
    return reference;
  };
  return new Proxy(Object.freeze({}), { get }) as References<Module>;
}
