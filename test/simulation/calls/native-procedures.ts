import { createHash } from 'node:crypto';
import type { DeclaredProcedure, Mode } from '../../../src/base/operation.js';

/** What a procedure of the simulator can do. */
export interface NativeContext {
  /** Of the bundle that it is part of. */
  readonly version: number;
  /** `null`: nothing. */
  get(key: string): unknown;
  put(key: string, value: unknown): void;
  delete(key: string): void;
  /** In order. */
  scan(prefix: string, limit: number): readonly (readonly [key: string, value: unknown])[];
  add(key: string, by: number): void;
  emit(name: string, payload: unknown): void;
  abort(reason: string): never;
}

export interface NativeProcedure {
  readonly mode: Mode;
  /** A function of what it reads and of its arguments, and of nothing else. */
  readonly run: (ctx: NativeContext, args: never) => unknown;
}

/** All keys of the workload are below this. */
export const CALLS_PREFIX = 'calls/';
export const BANK = `${CALLS_PREFIX}bank/`;
export const PAIR = `${CALLS_PREFIX}pair/`;
export const SEATS = `${CALLS_PREFIX}seats/`;
export const LISTS = `${CALLS_PREFIX}lists/`;
export const COUNTERS = `${CALLS_PREFIX}counters/`;
export const HOT = `${CALLS_PREFIX}hot`;
export const CHASED = `${CALLS_PREFIX}chased`;

/** Seats are given while there are fewer than this. */
export const SEATS_MAX = 4;
/** So many steps of one kind are told as events of one call. */
export const DONE = 'done';
export const TICK = 'tick';

/** Each call that writes has a name of its own. */
export interface CallArgs {
  readonly id: string;
}
export interface TransferArgs extends CallArgs {
  readonly from: number;
  readonly to: number;
  readonly amount: number;
}
export interface SideArgs extends CallArgs {
  readonly mine: 'a' | 'b';
}
export interface AppendArgs extends CallArgs {
  readonly reads: readonly string[];
  readonly appends: readonly (readonly [key: string, value: string])[];
}
export interface CountArgs extends CallArgs {
  readonly counter: string;
  readonly by: number;
}

/** As procedures declare themselves that they were applied: once, and at which revision, is seen of this event. */
function done(ctx: NativeContext, { id }: CallArgs): void {
  ctx.emit(DONE, { id, version: ctx.version });
}

function procedure<Args>(mode: Mode, run: (ctx: NativeContext, args: Args) => unknown) {
  const wrapped = (ctx: NativeContext, args: Args): unknown => ({
    version: ctx.version,
    ...(run(ctx, args) as object),
  });
  return { mode, run: wrapped as NativeProcedure['run'] };
}

function amountOf(ctx: NativeContext, key: string): number {
  const value = ctx.get(key);
  if (typeof value !== 'number') ctx.abort(`v${ctx.version}: ${key} is not open`);
  return value as number;
}

const transfer = procedure<TransferArgs>('cp', (ctx, args) => {
  const from = `${BANK}${args.from}`;
  const to = `${BANK}${args.to}`;
  const balance = amountOf(ctx, from);
  if (balance < args.amount) ctx.abort(`v${ctx.version}: ${from} has ${balance}`);
  const other = amountOf(ctx, to);
  ctx.put(from, balance - args.amount);
  ctx.put(to, other + args.amount);
  done(ctx, args);
  return { from: balance - args.amount, to: other + args.amount };
});

function allBalances(ctx: NativeContext): object {
  return { balances: ctx.scan(BANK, 100).map(([, value]) => value) };
}

/** Of one of the pair, while the sum of both stays 1 or more: of two at once, one must not. */
const take = procedure<SideArgs>('cp', (ctx, args) => {
  const a = amountOf(ctx, `${PAIR}a`);
  const b = amountOf(ctx, `${PAIR}b`);
  if (a + b < 2) ctx.abort(`v${ctx.version}: of the pair only ${a + b} is left`);
  ctx.put(`${PAIR}${args.mine}`, (args.mine === 'a' ? a : b) - 1);
  done(ctx, args);
  return { a, b };
});

const give = procedure<SideArgs>('cp', (ctx, args) => {
  ctx.put(`${PAIR}${args.mine}`, 1);
  done(ctx, args);
  return {};
});

const seat = procedure<CallArgs>('cp', (ctx, args) => {
  const taken = ctx.scan(SEATS, SEATS_MAX).map(([key]) => key);
  if (taken.length >= SEATS_MAX) ctx.abort(`v${ctx.version}: ${taken.join()} are taken`);
  ctx.put(`${SEATS}${args.id}`, args.id);
  done(ctx, args);
  return { taken };
});

const leave = procedure<CallArgs>('cp', (ctx, args) => {
  const [first] = ctx.scan(SEATS, 1);
  if (first === undefined) ctx.abort(`v${ctx.version}: no seat is taken`);
  const [key] = first as readonly [string, unknown];
  ctx.delete(key);
  done(ctx, args);
  return { left: key };
});

function listsOf(ctx: NativeContext, keys: readonly string[]): Record<string, readonly string[]> {
  const found = keys.map((key) => [key, (ctx.get(`${LISTS}${key}`) ?? []) as string[]] as const);
  return Object.fromEntries(found);
}

const append = procedure<AppendArgs>('cp', (ctx, args) => {
  const keys = [...args.reads, ...args.appends.map(([key]) => key)];
  const lists = listsOf(ctx, keys);
  for (const [key, value] of args.appends) {
    const list = (ctx.get(`${LISTS}${key}`) ?? []) as string[];
    ctx.put(`${LISTS}${key}`, [...list, value]);
  }
  done(ctx, args);
  return { lists };
});

const count = procedure<CountArgs>('cp', (ctx, args) => {
  ctx.add(`${COUNTERS}${args.counter}`, args.by);
  done(ctx, args);
  ctx.emit(TICK, { id: args.id, n: 0 });
  ctx.emit(TICK, { id: args.id, n: 1 });
  return {};
});

/** Reads what others write all the time. */
const chase = procedure<CallArgs>('cp', (ctx, args) => {
  const hot = ctx.get(HOT);
  ctx.put(CHASED, hot);
  done(ctx, args);
  return { hot };
});

export const NATIVE_PROCEDURES = {
  ...{ transfer, take, give, seat, leave, append, count, chase },
  // Reads in the lane: of several things, with nothing to write.
  look: procedure<CallArgs>('cp', (ctx) => ({
    ...allBalances(ctx),
    counted: ctx.scan(COUNTERS, 100),
  })),
  audit: procedure<null>('read', allBalances),
  sides: procedure<null>('read', (ctx) => ({ a: ctx.get(`${PAIR}a`), b: ctx.get(`${PAIR}b`) })),
  seats: procedure<null>('read', (ctx) => ({ taken: ctx.scan(SEATS, 100).map(([key]) => key) })),
  lists: procedure<readonly string[]>('read', (ctx, keys) => ({ lists: listsOf(ctx, keys) })),
  counted: procedure<null>('read', (ctx) => ({ counted: ctx.scan(COUNTERS, 100) })),
} as const satisfies Record<string, NativeProcedure>;

export type NativeName = keyof typeof NATIVE_PROCEDURES;

const CODE = 'native procedures, version ';

/** A bundle: its code is the name of these functions. */
export function bundleOf(version: number): {
  readonly hash: string;
  readonly code: string;
  readonly procedures: readonly DeclaredProcedure[];
} {
  const code = `${CODE}${version}`;
  const hash = createHash('sha256').update(code).digest('hex');
  const procedures = Object.entries(NATIVE_PROCEDURES).map(([name, { mode }]) => ({
    ...{ name, mode },
    trigger: null,
  }));
  return { hash, code, procedures };
}

/** The version that this code names; `null`: it names none. */
export function versionOf(code: string): number | null {
  const version = code.startsWith(CODE) ? Number(code.slice(CODE.length)) : Number.NaN;
  return Number.isSafeInteger(version) ? version : null;
}

export function isNative(name: string): name is NativeName {
  return Object.hasOwn(NATIVE_PROCEDURES, name);
}
