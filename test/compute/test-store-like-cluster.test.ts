import { describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { ap, type CpContext, counter, procedure, trigger } from '../../src/compute/procedures.js';
import { TestStore } from '../../src/compute/test-store.js';
import { failureOf, oneProcedure, Sandbox } from './calls.js';

type Handler = (ctx: CpContext, args: never) => unknown;

/** What it fails of as a unit test, in the form of `failureOf`. */
async function nativeFailure(handler: Handler): Promise<string> {
  try {
    await new TestStore({ text: 'x' }).call(procedure({ handler }), undefined);
    return 'it was applied';
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return `${code} ${message}`;
  }
}

describe('what a call is refused', () => {
  test.each([
    `ctx.get('')`,
    `ctx.get(3)`,
    `ctx.get('a\\0')`,
    `ctx.put('', 1)`,
    `ctx.put(3, 1)`,
    `ctx.put('a', undefined)`,
    `ctx.put('a', () => 1)`,
    `ctx.put('k'.repeat(100_000), 1)`,
    `ctx.put('_cells/a', 1)`,
    `ctx.setIfAbsent('a', undefined)`,
    `ctx.delete({})`,
    `ctx.add('n', '1')`,
    `ctx.add('n', NaN)`,
    `(ctx.add('n', 1), ctx.get('n'))`,
    `ctx.emit('a/b')`,
    `ctx.emit('a', () => 1)`,
    `ctx.abort({})`,
    `ctx.scan({ limit: -1 })`,
    `ctx.scan({ limit: 1.5 })`,
    `ctx.scan({ prefix: 3 })`,
    `ctx.scan({ prefix: 'a', from: 'b' })`,
    `ctx.call('nobody')`,
    `ctx.call(3)`,
    `ctx.schedule({}, 'p', null)`,
    `ctx.schedule({ inMs: NaN }, 'p', null)`,
    `ctx.schedule({ inMs: 1, id: 'a/b' }, 'p', null)`,
    `ctx.schedule({ cron: 'soon' }, 'p', null)`,
    `ctx.cell({ cell: 'nothing', key: 'a' })`,
    `new Promise(() => {})`,
    `(async () => { throw new RangeError('no'); })()`,
    `(() => { throw null; })()`,
    `(() => { throw { why: 1 }; })()`,
    `(() => { throw 'text'; })()`,
    `(() => { try { ctx.get(''); } catch (error) { throw new Error(error.name); } })()`,
    `'x'.repeat(2 ** 20)`,
  ])('is the same in a unit test and in the sandbox: %s', async (expression) => {
    const body = `return ${expression};`;
    const inside = (await Sandbox.with(oneProcedure(body))).call();
    const handler = new Function('ctx', body) as Handler;

    expect(await nativeFailure(handler)).toBe(failureOf(inside));
  });

  test('are arguments that are not what the schema says, as in the sandbox', async () => {
    const pays = procedure({
      args: z.object({ amount: z.number() }),
      handler: (_ctx, { amount }) => amount,
    });
    await expect(new TestStore().call(pays, { amount: 'x' as never })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/^arguments: amount: /),
    });
  });

  test('is to change ctx', async () => {
    const changes = procedure({
      handler: (ctx) => {
        (ctx as { now: number }).now = 7;
      },
    });
    await expect(new TestStore().call(changes, undefined)).rejects.toMatchObject({
      code: 'PROCEDURE_FAILED',
      message: expect.stringMatching(/^the procedure threw TypeError: /),
    });
  });

  test('is an update of what is no number, with nothing of the call applied', async () => {
    const adds = procedure({
      handler: (ctx) => {
        ctx.add('n', 1e308);
        ctx.add('n', 1e308);
        ctx.put('other', 1);
      },
    });
    const store = new TestStore();
    await expect(store.call(adds, undefined)).rejects.toMatchObject({
      code: 'PROCEDURE_FAILED',
      message: 'ctx.add of "n": the result is no finite number',
    });
    expect(store.entries()).toEqual([]);
  });
});

describe('time and chance', () => {
  const chance = procedure({ handler: (ctx) => ctx.random() });

  test('are other ones in each call, and the same in each run', async () => {
    const draws = async () => {
      const store = new TestStore();
      return [await store.call(chance, undefined), await store.call(chance, undefined)];
    };
    const [first, second] = await draws();
    expect(first).not.toBe(second);
    expect(await draws()).toEqual([first, second]);
  });

  test('are those of the call in Date and Math, until it has ended, and for its code alone', async () => {
    const { Date: dateBefore } = globalThis;
    let goOn = (): void => undefined;
    let isReached = (): void => undefined;
    const reached = new Promise<void>((resolve) => {
      isReached = resolve;
    });
    const looks = procedure({
      handler: async (ctx) => {
        const held = new Promise<void>((resolve) => {
          goOn = resolve;
        });
        isReached();
        await held;
        const made = new Date();
        return [ctx.now, Date.now(), made.getTime(), made instanceof Date, new Date(3).getTime()];
      },
    });
    const store = new TestStore();
    store.nowMs = 5;
    const looked = store.call(looks, undefined);
    await reached;
    const outside = Date.now();
    goOn();

    expect(await looked).toEqual([5, 5, 5, true, 3]);
    expect(outside).not.toBe(5);
    expect(globalThis.Date).toBe(dateBefore);
  });

  test('give Math.random what ctx.random would give', async () => {
    const draw = (from: 'ctx' | 'math') =>
      procedure({ handler: (ctx) => (from === 'ctx' ? ctx.random() : Math.random()) });
    const options = { seed: 9 };
    const store = new TestStore();
    expect(await store.call(draw('math'), undefined, options)).toBe(
      await store.call(draw('ctx'), undefined, options),
    );
  });
});

test('what never comes ends the call, also where the time of the test stands still', async () => {
  vi.useFakeTimers();
  try {
    const waits = procedure({ handler: () => new Promise(() => undefined) });
    await expect(new TestStore().call(waits, undefined)).rejects.toMatchObject({
      code: 'PROCEDURE_FAILED',
      message: 'the procedure waits for something that never comes',
    });
  } finally {
    vi.useRealTimers();
  }
});

test('calls that are made at the same time come one after the other', async () => {
  const adds = procedure({
    handler: async (ctx) => {
      const before = ctx.get<number>('n') ?? 0;
      await null;
      ctx.put('n', before + 1);
    },
  });
  const store = new TestStore();
  await Promise.all([store.call(adds, undefined), store.call(adds, undefined)]);
  expect(store.get('n')).toBe(2);
});

const ring = procedure({ handler: (ctx, by: number) => ctx.add('rung', by) });

describe('runDue', () => {
  test('makes the calls that were scheduled, each once, when their time has come', async () => {
    const plans = procedure({
      handler: (ctx, by: number) => ctx.schedule({ inMs: 100 }, ring, by),
    });
    const store = new TestStore();
    const ids = [await store.call(plans, 1), await store.call(plans, 20)];
    expect(new Set(ids).size).toBe(2);

    expect(await store.runDue()).toEqual([]);
    store.nowMs = 100;
    expect(await store.runDue()).toMatchObject([
      { by: 'schedule', error: null },
      { by: 'schedule', error: null },
    ]);
    expect(store.entries()).toEqual([['rung', 21]]);
    expect(await store.runDue()).toEqual([]);
  });

  test('calls again by a cron expression, and knows names of the module alone', async () => {
    const plans = procedure({
      handler: (ctx, name: string) => ctx.schedule({ cron: '* * * * *', id: name }, name, 1),
    });
    const store = new TestStore({}, { ring, plans });
    await store.call(plans, 'ring');
    await store.call(plans, 'nobody');
    for (const minute of [1, 2]) {
      store.nowMs = minute * 60_000;
      expect(await store.runDue()).toMatchObject([
        { procedure: 'nobody', error: { code: 'PROCEDURE_NOT_FOUND' } },
        { procedure: 'ring', error: null },
      ]);
    }
    expect(store.get('rung')).toBe(2);
    expect(store.get('_schedule-ids/ring')).toBe('_schedules/000000000180000/ring');
  });

  test('does not call again what has failed, and writes nothing of it', async () => {
    const fails = procedure({
      handler: (ctx) => {
        ctx.put('a', 1);
        ctx.abort('no');
      },
    });
    const plans = procedure({ handler: (ctx) => ctx.schedule({ inMs: 0 }, 'fails', null) });
    const store = new TestStore({}, { fails, plans });
    await store.call(plans, undefined);

    expect(await store.runDue()).toMatchObject([{ error: { code: 'PROCEDURE_ABORTED' } }]);
    expect(store.entries()).toEqual([]);
  });

  test('refuses to schedule what the module does not export', async () => {
    const plans = procedure({ handler: (ctx) => ctx.schedule({ inMs: 0 }, ring, 1) });
    await expect(new TestStore({}, { plans }).call(plans, undefined)).rejects.toMatchObject({
      code: 'PROCEDURE_FAILED',
      message: expect.stringContaining('name the procedure as it is exported'),
    });
  });

  test('gives triggers what was written since the store was made, and what they write', async () => {
    const seen = trigger({
      prefix: 'order/',
      handler: (ctx, events) => {
        for (const { type, key, value } of events) ctx.emit('seen', { type, key, value });
        if (events.some(({ key }) => key === 'order/1')) ctx.put('order/2', 'more');
      },
    });
    const store = new TestStore({ 'order/0': 'before' }, { seen });
    store.put('order/1', 'new');
    store.put('other', 1);
    store.delete('order/0');

    expect(await store.runDue()).toHaveLength(2);
    expect(store.events.map(({ payload }) => payload)).toEqual([
      { type: 'put', key: 'order/1', value: 'new' },
      { type: 'delete', key: 'order/0', value: null },
      { type: 'put', key: 'order/2', value: 'more' },
    ]);
    expect(await store.runDue()).toEqual([]);
  });

  test('leaves out a write with which a trigger fails five times, and goes on behind it', async () => {
    const picky = trigger({
      prefix: 'order/',
      handler: (ctx, events) => {
        if (events.some(({ value }) => value === 'bad')) ctx.abort('bad');
        ctx.add('good', events.length);
      },
    });
    const store = new TestStore({}, { picky });
    for (const [key, value] of Object.entries({ 1: 'fine', 2: 'bad', 3: 'fine' })) {
      store.put(`order/${key}`, value);
    }
    const calls = await store.runDue();

    expect(calls.filter(({ error }) => error !== null)).toHaveLength(6);
    expect(store.get('good')).toBe(2);
  });

  test('ends when calls make each other due for ever', async () => {
    const again = procedure({
      handler: (ctx) => ctx.schedule({ inMs: 0, id: 'again' }, 'again', null),
    });
    const store = new TestStore({}, { again });
    await store.call(again, undefined);
    await expect(store.runDue()).rejects.toMatchObject({ code: 'PROCEDURE_LIMIT' });
  });

  test('tells triggers of cells, too', async () => {
    const counts = ap({ handler: (ctx) => ctx.cell(counter('c')).add() });
    const onCell = trigger({
      prefix: '_cells/',
      handler: (ctx, events) => ctx.put('told', events[0]?.value ?? null),
    });
    const store = new TestStore({}, { counts, onCell });
    await store.call(counts, undefined);
    await store.runDue();
    expect(store.get('told')).toMatchObject({ value: '1' });
  });
});
