import { describe, expect, test } from 'vitest';
import { effectsOf, failureOf, parsed, Sandbox } from './calls.js';

describe('ctx.call', () => {
  const code = `
    const add = { mode: 'cp', handler: (ctx, { by }) => { const n = (ctx.get('n') ?? 0) + by; ctx.put('n', n); return n; } };
    const look = { mode: 'read', handler: (ctx) => ctx.get('n') };
    return {
      add, look,
      twice: { mode: 'cp', handler: async (ctx) => {
        ctx.put('n', 10);
        return [await ctx.call(add, { by: 1 }), await ctx.call('add', { by: 2 }), await ctx.call(look)];
      } },
      sneaky: { mode: 'read', handler: (ctx) => ctx.call('add', { by: 1 }) },
      shares: { mode: 'cp', handler: async (ctx) => {
        const given = { by: { deep: 1 } };
        const got = await ctx.call({ mode: 'read', handler: (_, args) => { args.by.deep = 2; return args; } }, given);
        return [given.by.deep, got.by.deep];
      } },
      missing: { mode: 'cp', handler: (ctx) => ctx.call('nothing') },
      aborts: { mode: 'cp', handler: async (ctx) => {
        ctx.put('n', 1);
        try { await ctx.call({ mode: 'cp', handler: () => ctx.abort('no') }); } catch {}
        return 'went on';
      } },
      endless: { mode: 'cp', handler: (ctx) => ctx.call('endless') },
    };`;

  test('runs in the same transaction, by name or as it is', async () => {
    const execution = (await Sandbox.with(code)).call({ name: 'twice' });

    expect(parsed(execution)).toEqual([11, 13, 13]);
    expect(effectsOf(execution)).toMatchObject({ reads: [], writes: [{ key: 'n', value: '13' }] });
  });

  test('has nothing in common with its caller but the store', async () => {
    expect(parsed((await Sandbox.with(code)).call({ name: 'shares' }))).toEqual([1, 2]);
  });

  test.each([
    ['sneaky', /^PROCEDURE_READ_ONLY/],
    ['missing', /^PROCEDURE_NOT_FOUND .*nothing/],
    ['aborts', /^PROCEDURE_ABORTED no/],
    ['endless', /^PROCEDURE_(LIMIT|FAILED)/],
  ])('%s: the whole call fails', async (name, told) => {
    const sandbox = await Sandbox.with(code);
    const mode = name === 'sneaky' ? 'read' : 'cp';
    expect(failureOf(sandbox.call({ name, mode }))).toMatch(told);
  });
});
