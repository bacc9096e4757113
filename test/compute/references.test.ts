import { describe, expect, expectTypeOf, test } from 'vitest';
import * as z from 'zod';
import type * as bankModule from '../../examples/bank.js';
import type { Client } from '../../src/client/kv-client.js';
import type { ProcedureReference as ClientReference } from '../../src/client/procedures.js';
import {
  ap,
  type ProcedureReference,
  procedure,
  type ReadContext,
  type References,
  read,
  references,
} from '../../src/compute/procedures.js';

/** What is expected of the types is looked at by the type check of the project, and not when this runs. */

const shop = {
  buy: procedure({
    args: z.object({ item: z.string(), count: z.string().transform(Number) }),
    handler: (ctx, { item, count }) => {
      expectTypeOf(count).toBeNumber();
      ctx.add(`stock/${item}`, -count);
      return Promise.resolve({ left: count });
    },
  }),
  find: read({
    handler: (ctx, { prefix, limit }: { prefix: string; limit?: number }) =>
      ctx.scan({ prefix, limit }),
  }),
  count: read({ handler: async (ctx) => (await ctx.scan()).length }),
  clear: procedure({ handler: (ctx) => ctx.delete('all') }),
  aside: procedure({ handler: (_ctx, _args: { a: number }): number | Promise<string> => 1 }),
  list: read({ handler: (_ctx, options?: { limit: number }) => options?.limit ?? 0 }),
  view: ap({ handler: (_ctx, page: string) => page }),
  PRICE: 7,
  helper: (): number => 1,
  notOne: { mode: 'cp', handler: 'no function' },
};
const refs = references<typeof shop>();
type Refs = typeof refs;

async function calls(db: Client): Promise<void> {
  const bought = await db.call(refs.buy, { item: 'apple', count: '3' });
  expectTypeOf(bought.result).toEqualTypeOf<{ left: number }>();
  const found = await db.call(refs.find, { prefix: 'a' }, { consistency: 'any' });
  expectTypeOf(found.result[0]?.key).toEqualTypeOf<string | undefined>();
  const counted = await db.call(refs.count);
  expectTypeOf(counted.result).toBeNumber();
  await db.call(refs.count, undefined, { consistency: { bounded: 100 } });
  await db.call(refs.count, null);
  await db.call(refs.clear);
  expectTypeOf((await db.call(refs.aside, { a: 1 })).result).toEqualTypeOf<string | number>();

  expectTypeOf((await db.call(refs.list)).result).toBeNumber();
  await db.call(refs.list, { limit: 3 });
  await db.call(refs.list, undefined, { consistency: 'any' });
  await db.call(refs.view, 'home', { consistency: 'ap-local', durability: { peers: 1 } });
  await db.call(refs.clear, null, { route: 'any', idempotencyKey: 'k' });
  const known: ProcedureReference<void, number> = refs.count;
  await db.call(known, null, { route: 'any' });

  // @ts-expect-error: the argument that may be left out is another one
  await db.call(refs.list, { limit: 'many' });
  // @ts-expect-error: a level says where it runs
  await db.call(refs.count, null, { route: 'any' });
  // @ts-expect-error: nothing is written
  await db.call(refs.count, null, { durability: 'local' });
  // @ts-expect-error: a majority has it
  await db.call(refs.clear, null, { durability: { peers: 1 } });
  // @ts-expect-error: an argument of another type
  await db.call(refs.buy, { item: 'apple', count: 3 });
  // @ts-expect-error: one too few
  await db.call(refs.buy, { item: 'apple' });
  const tooFew = { item: 'apple' };
  // @ts-expect-error: also when it is no literal
  await db.call(refs.buy, tooFew);
  // @ts-expect-error: one too many
  await db.call(refs.buy, { item: 'apple', count: '3', color: 'red' });
  // @ts-expect-error: none at all
  await db.call(refs.buy);
  // @ts-expect-error: null is none
  await db.call(refs.buy, null);
  // @ts-expect-error: it takes none
  await db.call(refs.count, { a: 1 });
  // @ts-expect-error: there is no such option
  await db.call(refs.count, null, { route: 'elsewhere' });
  // @ts-expect-error: no procedure
  refs.PRICE;
  // @ts-expect-error: not exported
  refs.sell;
  // @ts-expect-error: names do not change
  refs.buy.name = 'sell';
}

/** As {@link calls}: within the sandbox. */
async function callsWithin(ctx: ReadContext): Promise<void> {
  expectTypeOf(await ctx.call(shop.count)).toBeNumber();
  expectTypeOf(await ctx.call(shop.buy, { item: 'apple', count: '3' })).toEqualTypeOf<{
    left: number;
  }>();
  expectTypeOf(await ctx.call(shop.list)).toBeNumber();
  await ctx.call(shop.list, { limit: 3 });
  await ctx.scan({ prefix: 'a', limit: 3 });
  await ctx.scan({ from: 'a', to: undefined });
  // @ts-expect-error: either, or
  await ctx.scan({ prefix: 'a', from: 'b' });
  // @ts-expect-error: one too few
  await ctx.call(shop.buy, { item: 'apple' });
  // @ts-expect-error: none at all
  await ctx.call(shop.buy);
}

async function callsOfBank(db: Client): Promise<void> {
  const bank = references<typeof bankModule>();
  const { result } = await db.call(bank.transfer, { from: 'ada', to: 'bob', amount: 1 });
  expectTypeOf(result).toEqualTypeOf<{ from: number; to: number }>();
  expectTypeOf((await db.call(bank.balance, { account: 'ada' })).result).toEqualTypeOf<
    number | null
  >();
  expectTypeOf((await db.call(bank.total)).result).toBeNumber();
  // @ts-expect-error: the amount is a number
  await db.call(bank.transfer, { from: 'ada', to: 'bob', amount: '1' });
  // By name nothing is known of either.
  expectTypeOf((await db.call('transfer', 1)).result).toBeUnknown();
  expectTypeOf((await db.call<number>('total')).result).toBeNumber();
}

describe('references', () => {
  test('have the procedures of a module and nothing else of it, with their types', () => {
    expectTypeOf<keyof Refs>().toEqualTypeOf<
      'buy' | 'find' | 'count' | 'clear' | 'aside' | 'list' | 'view'
    >();
    expectTypeOf<Refs['buy']>().toEqualTypeOf<
      ProcedureReference<{ item: string; count: string }, { left: number }, 'cp'>
    >();
    expectTypeOf<Refs['count']>().toEqualTypeOf<ProcedureReference<void, number, 'read'>>();
    expectTypeOf<keyof References<typeof bankModule>>().toEqualTypeOf<
      'open' | 'transfer' | 'balance' | 'total'
    >();
    expect(refs.buy).toEqual({ name: 'buy' });
  });

  test('are what the client takes', () => {
    // Only their types count: they are never called.
    expect([calls, callsWithin, callsOfBank]).toHaveLength(3);
    expectTypeOf<ProcedureReference<1, 2>>().toEqualTypeOf<ClientReference<1, 2>>();
    expectTypeOf<ProcedureReference<1, 2, 'ap'>>().toEqualTypeOf<ClientReference<1, 2, 'ap'>>();
  });

  test('name the alias that they were made for', () => {
    const staging = references<typeof shop>({ alias: 'staging' });
    expect([staging.buy.name, staging.find.name]).toEqual(['buy@staging', 'find@staging']);
    expect(references<typeof shop>({}).buy.name).toBe('buy');
    expect(references<typeof shop>({ alias: undefined }).buy.name).toBe('buy');
  });

  test('are the same ones each time, and cannot be changed', () => {
    expect(refs.buy).toBe(refs.buy);
    expect(() => Object.assign(refs.buy, { name: 'sell' })).toThrow(TypeError);
    expect(() => Object.assign(refs, { buy: refs.find })).toThrow(TypeError);
  });

  test('are no promise, so that an async function may return them', async () => {
    const made = await Promise.resolve(refs);
    expect(made.buy.name).toBe('buy');
    expect(String(Object.prototype.toString.call(made))).toBe('[object Object]');
  });
});
