import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { procedure, read } from '../../src/compute/procedures.js';
import { TestStore } from '../../src/compute/test-store.js';

const transfer = procedure({
  args: z.object({ from: z.string(), to: z.string(), amount: z.number().positive() }),
  handler: (ctx, { from, to, amount }) => {
    const left = (ctx.get<number>(from) ?? 0) - amount;
    if (left < 0) ctx.abort('not enough');
    ctx.put(from, left);
    ctx.add(to, amount);
    ctx.emit('moved', { amount });
    return left;
  },
});

const total = read({
  handler: async (ctx, _args: undefined) => {
    const all = await ctx.scan();
    return all.reduce((sum, { value }) => sum + Number(value), 0);
  },
});

describe('a store for the unit tests of procedures', () => {
  test('applies what a call wrote, at one revision', async () => {
    const store = new TestStore({ ada: 10 });
    const { revision } = store;

    expect(await store.call(transfer, { from: 'ada', to: 'bob', amount: 4 })).toBe(6);
    expect(store.get('ada')).toBe(6);
    expect(store.get('bob')).toBe(4);
    expect(store.revision).toBe(revision + 1);
    expect(store.events).toEqual([{ name: 'moved', payload: { amount: 4 } }]);
    expect(store.get('_events/moved/0')).toEqual({ amount: 4 });
  });

  test('changes nothing when the call fails, and says why', async () => {
    const store = new TestStore({ ada: 1, text: 'x' });
    const before = store.entries();
    const moving = (from: string, to: string, amount: number) =>
      store.call(transfer, { from, to, amount });

    await expect(moving('ada', 'bob', 4)).rejects.toMatchObject({
      code: 'PROCEDURE_ABORTED',
      message: 'not enough',
    });
    await expect(moving('ada', 'bob', -1)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(moving('ada', 'text', 1)).rejects.toMatchObject({ code: 'PROCEDURE_FAILED' });
    const throws = procedure({
      handler: (ctx) => {
        ctx.put('ada', 0);
        throw new RangeError('no');
      },
    });
    await expect(store.call(throws, undefined)).rejects.toMatchObject({
      code: 'PROCEDURE_FAILED',
      cause: expect.any(RangeError),
    });
    expect(store.entries()).toEqual(before);
  });

  test('an abort that is caught is one all the same', async () => {
    const caught = procedure({
      handler: (ctx) => {
        try {
          ctx.abort('no');
        } catch {
          // It goes on.
        }
        ctx.put('a', 1);
      },
    });
    const store = new TestStore();

    await expect(store.call(caught, undefined)).rejects.toMatchObject({
      code: 'PROCEDURE_ABORTED',
    });
    expect(store.entries()).toEqual([]);
  });

  test('refuses writes of a procedure that was declared to read, in what it calls, too', async () => {
    const sneaky = read({
      handler: (ctx) => ctx.call(transfer, { from: 'a', to: 'b', amount: 1 }),
    });
    const store = new TestStore({ a: 5, b: 5 });

    await expect(store.call(sneaky, undefined)).rejects.toMatchObject({
      code: 'PROCEDURE_READ_ONLY',
    });
    expect(await store.call(total, undefined)).toBe(10);
  });

  test('gives the time and the chance that it is told to', async () => {
    const lottery = procedure({ handler: (ctx) => [ctx.now, ctx.random()] });
    const store = new TestStore();
    store.nowMs = 5;

    const [first] = await store.call(lottery, undefined);
    const [second, chance] = await store.call(lottery, undefined, { nowMs: 7, seed: 3 });
    expect([first, second]).toEqual([5, 7]);
    expect(await store.call(lottery, undefined, { seed: 3 })).toEqual([5, chance]);
  });

  test('keeps what was logged, also by a call that failed', async () => {
    const loud = procedure({
      handler: (ctx, fails: boolean) => {
        ctx.log('value', { fails });
        if (fails) ctx.abort();
      },
    });
    const store = new TestStore();
    await store.call(loud, false);
    await expect(store.call(loud, true)).rejects.toThrow();

    expect(store.logs).toEqual(['value {"fails":false}', 'value {"fails":true}']);
  });

  test('shares nothing with its caller but JSON', async () => {
    const mutates = procedure({
      handler: (ctx, list: number[]) => {
        list.push(9);
        ctx.put('list', list);
        return list;
      },
    });
    const store = new TestStore();
    const given = [1];
    const result = await store.call(mutates, given);
    result.push(7);

    expect(given).toEqual([1]);
    expect(store.get('list')).toEqual([1, 9]);
  });

  test('reads a range with the own writes in it', async () => {
    const lists = procedure({
      handler: async (ctx) => {
        ctx.put('b', 20);
        ctx.delete('c');
        return (await ctx.scan({ from: 'a', to: 'd', limit: 2 })).map(({ key }) => key);
      },
    });
    expect(await new TestStore({ a: 1, c: 3, d: 4 }).call(lists, undefined)).toEqual(['a', 'b']);
  });
});
