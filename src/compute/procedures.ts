/**
 * For the authors of stored procedures: `import { procedure, read } from 'balsa/procedures'`. It runs in the sandbox, beside
 * their code, and imports nothing. For those who call them: `references`.
 */

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
export interface ScanOptions {
  readonly prefix?: string | undefined;
  readonly from?: string | undefined;
  /** The first key that is not in it any more. */
  readonly to?: string | undefined;
  readonly limit?: number | undefined;
}

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
  /**
   * Another procedure of the same file, in the same transaction: it sees what this one wrote, and what it writes comes into
   * being with the rest. In one that only reads it cannot write.
   * @param procedure itself, or the name that it is exported under
   */
  call<Result>(procedure: Procedure<void, Result, 'cp' | 'read'>): Promise<Result>;
  call<Args, Result>(
    procedure: Procedure<Args, Result, 'cp' | 'read'>,
    args: NoInfer<Args>,
  ): Promise<Result>;
  call(procedure: string, args?: Json): Promise<unknown>;
  /** A line for `balsa proc logs`. */
  log(...values: unknown[]): void;
  /** Ends the call: its caller is told `PROCEDURE_ABORTED` with the reason, and nothing is written. */
  abort(reason?: string): never;
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
  /** An event that comes into being with the writes. */
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

/** When a call is due: one of `atMs`, `inMs` and `cron`. */
export interface Schedule {
  /** Milliseconds since 1970. */
  readonly atMs?: number | undefined;
  /** Milliseconds from `ctx.now` on. */
  readonly inMs?: number | undefined;
  /** Again and again: a cron expression of five fields, UTC. */
  readonly cron?: string | undefined;
  /** Takes the place of what was scheduled under it before. Default: one of its own. */
  readonly id?: string | undefined;
}

/** What was written to a key, for a {@link trigger}. */
export interface TriggerEvent {
  readonly type: 'put' | 'delete';
  readonly key: string;
  /** `null` in a deletion. */
  readonly value: Json;
  readonly revision: number;
}

/** A procedure as it is exported, deployed, and called. */
export interface Procedure<Args, Result, Mode extends 'cp' | 'read'> {
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
 * A procedure that is called with what is written to keys with a prefix, by whoever: each write once, in order, some at a time.
 * What it writes comes into being together with the note of how far it has come. It begins with the writes behind its
 * deployment. When it fails it is called again, with pauses; a write with which it fails again and again is skipped, and told by
 * `balsa proc logs`. What it writes to keys with its own prefix calls it again.
 */
export function trigger<Returned>(definition: {
  readonly prefix: string;
  readonly handler: Handler<CpContext, readonly TriggerEvent[], Returned>;
}): Procedure<readonly TriggerEvent[], Awaited<Returned>, 'cp'> {
  const { prefix, handler } = definition;
  return { mode: 'cp', args: null, handler, trigger: prefix };
}

// ---------------------------------------------------------------------------------------------
// For callers

/** A procedure by its name, with the types of its arguments and of its result: what `db.call` of the client takes. */
export interface ProcedureReference<Args, Result> {
  readonly name: string;
  /** Of types alone; never there. */
  readonly types?: { readonly args: Args; readonly result: Result };
}

/** What an export is to its callers; `never`: it is no procedure. */
type ReferenceTo<Export> = Export extends {
  readonly mode: 'cp' | 'read';
  readonly handler: (ctx: never, args: never) => unknown;
  readonly types?: { readonly args: infer Args; readonly result: infer Result };
}
  ? ProcedureReference<Args, Result>
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
