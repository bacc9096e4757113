import fc from 'fast-check';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { Cell } from '../../src/base/cell.js';
import { seededRandom } from '../../src/base/random.js';
import { CallView } from '../../src/compute/call-view.js';
import { CALL_LIMITS, type Execution } from '../../src/compute/execution.js';
import { nativeContext } from '../../src/compute/native-context.js';
import {
  type ApContext,
  ap,
  appendLog,
  type CpContext,
  counter,
  escrow,
  map,
  multiValue,
  procedure,
  type ReadContext,
  read,
  references,
  register,
  set,
} from '../../src/compute/procedures.js';
import { TestStore } from '../../src/compute/test-store.js';
import { effectsOf, oneProcedure, Sandbox } from './calls.js';
import { MemorySource } from './memory-source.js';

const HERE = 'a'.repeat(16);

/** One use of a cell: kind, method, operands. */
const key = fc.constantFrom('a', 'b');
const value = fc.oneof(
  ...[fc.integer({ min: -9, max: 9 }), fc.constantFrom('x', '__proto__', 'y'), fc.json()],
);
const amount = fc.integer({ min: 1, max: 5 });
const field = fc.constantFrom('f', '__proto__', 'toString');
const use = fc.oneof(
  fc.tuple(fc.constant('counter'), fc.constantFrom('add'), fc.tuple(fc.integer())),
  fc.tuple(fc.constant('escrow'), fc.constantFrom('add', 'take'), fc.tuple(amount)),
  fc.tuple(fc.constant('set'), fc.constantFrom('add', 'remove', 'has'), fc.tuple(value)),
  fc.tuple(fc.constant('map'), fc.constant('put'), fc.tuple(field, value)),
  fc.tuple(fc.constant('map'), fc.constantFrom('remove', 'get'), fc.tuple(field)),
  fc.tuple(fc.constantFrom('register', 'multi-value'), fc.constant('set'), fc.tuple(value)),
  fc.tuple(fc.constant('log'), fc.constant('append'), fc.tuple(value)),
);
const uses = fc.array(fc.tuple(key, use), { maxLength: 12 });

const SHOWN = {
  counter: 'value',
  escrow: 'value',
  map: 'entries',
  register: 'value',
  log: 'entries',
};

/** The same text in both worlds. */
const BODY = `
  const shown = ${JSON.stringify(SHOWN)};
  return args.map(([key, [cell, method, operands]]) => {
    const handle = ctx.cell({ cell, key: key + cell });
    return [handle[method](...operands) ?? null, handle[shown[cell] ?? 'values']()];
  });`;

test('with and without the sandbox the same calls have the same results and changes', async () => {
  const sandbox = await Sandbox.with(oneProcedure(BODY, 'ap'));
  const source = new MemorySource();
  const stock = Cell.empty('escrow');
  const stamp = { timeMs: 1, count: 0, origin: HERE, call: 'a', place: 0 };
  stock.apply({ cell: 'escrow', type: 'add', by: 9 }, stamp, { origins: [HERE] });
  source.cells.set('aescrow', stock.encode());
  const native = new Function('ctx', 'args', BODY) as (ctx: ApContext, args: unknown) => unknown;

  fc.assert(
    fc.property(uses, (args) => {
      const inside = sandbox.call({ mode: 'ap', args, source, origin: HERE });
      const view = new CallView(source, CALL_LIMITS, 'ap', HERE);
      const host = { nowMs: 0, random: seededRandom(1), run: () => Promise.resolve() };
      const result = native(nativeContext(view, host), JSON.parse(JSON.stringify(args)));
      expect(inside.ok && inside.result).toBe(JSON.stringify(result));
      const outside: Execution = { ok: true, logs: [], result: '', effects: view.effects() };
      expect(effectsOf(inside)).toEqual(effectsOf(outside));
    }),
    { numRuns: 200 },
  );
});

test('without the sandbox, too, there are no other kinds', () => {
  const host = { nowMs: 0, random: seededRandom(1), run: () => Promise.resolve() };
  const ctx = nativeContext(new CallView(new MemorySource(), CALL_LIMITS, 'ap'), host);
  for (const cell of ['toString', '__proto__']) {
    expect(() => ctx.cell({ cell: cell as 'set', key: 'k' })).toThrow(/ctx.cell takes/);
  }
});

const visit = ap({
  handler: (ctx, { page, by }: { page: string; by: string }) => {
    ctx.cell(counter(`views/${page}`)).add();
    ctx.cell(set<string>('visitors')).add(by);
    ctx.cell(register<string>('last')).set(by);
    return ctx.cell(counter(`views/${page}`)).value();
  },
});
const reserve = ap({
  handler: (ctx, { seats }: { seats: number }) => ctx.cell(escrow('seats')).take(seats),
});
const offer = ap({ handler: (ctx, seats: number) => ctx.cell(escrow('seats')).add(seats) });
const report = read({ handler: (ctx) => ctx.cell(set<string>('visitors')).values() });

describe('a store for the unit tests of procedures', () => {
  test('merges at once what an ap procedure changes', async () => {
    const store = new TestStore();
    expect(await store.call(visit, { page: 'home', by: 'ada' })).toBe(1);
    expect(await store.call(visit, { page: 'home', by: 'bob' })).toBe(2);

    expect(store.cell(counter('views/home'))).toBe(2);
    expect(store.cell(register('last'))).toBe('bob');
    expect(await store.call(report, undefined)).toEqual(['ada', 'bob']);
    expect(store.get('_cells/views/home')).toEqual({ type: 'counter', value: '2' });
    expect(() => store.cell(set('views/home'))).toThrow(/is a cell of type counter, not set/);
  });

  test('has all rights of an escrow counter', async () => {
    const store = new TestStore();
    expect(await store.call(reserve, { seats: 1 })).toBe(false);
    await store.call(offer, 3);
    expect(await store.call(reserve, { seats: 2 })).toBe(true);
    expect(await store.call(reserve, { seats: 2 })).toBe(false);
    expect(store.cell(escrow('seats'))).toBe(1);
  });

  test('changes nothing when the call fails', async () => {
    const store = new TestStore();
    const { revision } = store;
    const fails = ap({
      handler: (ctx) => {
        ctx.cell(counter('n')).add();
        ctx.abort('no');
      },
    });
    await expect(store.call(fails, undefined)).rejects.toMatchObject({ code: 'PROCEDURE_ABORTED' });
    const puts = ap({ handler: (ctx) => (ctx as CpContext & ApContext).put('k', 1) });
    await expect(store.call(puts, undefined)).rejects.toMatchObject({
      code: 'PROCEDURE_READ_ONLY',
    });
    expect([store.cell(counter('n')), store.revision]).toEqual([0, revision]);
  });

  test('of several calls at the same time of day the later one wins', async () => {
    const store = new TestStore();
    for (const by of ['a', 'b', 'c']) await store.call(visit, { page: 'x', by }, { nowMs: 7 });
    await store.call(visit, { page: 'x', by: 'd' }, { nowMs: 3 });
    expect(store.cell(register('last'))).toBe('d');
  });
});

test('names of cells are plain and do not change', () => {
  const names = [counter, escrow, set, map, register, multiValue, appendLog].map((of) => of('k'));
  expect(names.map(({ cell }) => cell)).toEqual([
    ...['counter', 'escrow', 'set', 'map', 'register', 'multi-value', 'log'],
  ]);
  expect(names.every((name) => Object.isFrozen(name) && name.key === 'k')).toBe(true);
});

/** What is expected of the types is looked at by the type check of the project, and not when this runs. */
async function typed(ctx: ApContext, reader: ReadContext, cp: CpContext): Promise<void> {
  expectTypeOf(ctx.cell(counter('n')).value()).toBeNumber();
  expectTypeOf(ctx.cell(escrow('n')).take(1)).toBeBoolean();
  expectTypeOf(ctx.cell(set<'a' | 'b'>('s')).values()).toEqualTypeOf<('a' | 'b')[]>();
  expectTypeOf(ctx.cell(map<number>('m')).get('f')).toEqualTypeOf<number | null>();
  expectTypeOf(ctx.cell(map<number>('m')).entries()).toEqualTypeOf<Record<string, number>>();
  expectTypeOf(ctx.cell(register<{ n: number }>('r')).value()).toEqualTypeOf<{
    n: number;
  } | null>();
  expectTypeOf(ctx.cell(multiValue<string>('v')).values()).toEqualTypeOf<string[]>();
  expectTypeOf(ctx.cell(appendLog<string>('l')).entries()).toEqualTypeOf<string[]>();
  expectTypeOf(reader.cell(set<string>('s')).has('a')).toBeBoolean();
  expectTypeOf(await ctx.call(visit, { page: 'p', by: 'b' })).toBeNumber();
  const refs = references<{ visit: typeof visit }>();
  expectTypeOf(refs.visit.types).toEqualTypeOf<
    | { readonly args: { page: string; by: string }; readonly result: number; readonly mode: 'ap' }
    | undefined
  >();
  // An ap procedure may use what is made for those that read.
  const shared = (of: ReadContext): number => of.cell(counter('n')).value();
  shared(ctx);

  // @ts-expect-error: an item of another type
  ctx.cell(set<string>('s')).add(1);
  // @ts-expect-error: a value of another type
  ctx.cell(map<number>('m')).put('f', 'x');
  // @ts-expect-error: no method of this kind
  ctx.cell(counter('n')).take(1);
  // @ts-expect-error: cells are written by ap procedures
  reader.cell(counter('n')).add(1);
  // @ts-expect-error: cells are written by ap procedures
  cp.cell(set<string>('s')).add('a');
  // @ts-expect-error: it writes cells only
  ctx.put('k', 1);
  // @ts-expect-error: it is not to be scheduled
  cp.schedule({ inMs: 1 }, visit, { page: 'p', by: 'b' });
  // @ts-expect-error: what is no JSON is in no cell
  set<Date>('s');
  procedure({ handler: (of) => of.cell(counter('n')).value() });
}

test('types are as expected', () => {
  expect(typed).toBeTypeOf('function');
});
