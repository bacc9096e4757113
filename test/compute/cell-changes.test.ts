import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CellChange } from '../../src/base/delta.js';
import { CALL_LIMITS } from '../../src/compute/execution.js';
import { effectsOf, failureOf, oneProcedure, parsed, Sandbox } from './calls.js';

/** Changes of cells wait in the sandbox until something is asked, or the call ends: nobody may see that they do. */

const NAMES = `const of = (cell) => (key) => Object.freeze({ cell, key });
  const counter = of('counter'), register = of('register'), appendLog = of('log'), set = of('set');`;

/** What a procedure does to a log that begins with nothing. */
type Step = 'short' | 'long' | 'read' | 'await' | 'other cell' | 'plain key';

const CODE: Record<Step, string> = {
  short: 'log.append(n); n += 1;',
  // Longer than what waits.
  long: "log.append(String(n).padEnd(5000, '.')); n += 1;",
  read: 'seen.push(log.entries().length);',
  await: 'await null;',
  'other cell': "ctx.cell(counter('c')).add(n);",
  'plain key': "ctx.get('k');",
};

const steps = fc.array(fc.constantFrom(...(Object.keys(CODE) as Step[])), { maxLength: 30 });

const call = async (body: string, isAsync = false) => {
  const code = oneProcedure(body, 'ap', NAMES);
  const sandbox = await Sandbox.with(
    isAsync ? code.replace('(ctx, args)', 'async (ctx, args)') : code,
  );
  const limits = { ...CALL_LIMITS, computeMsMax: 30_000 };
  return sandbox.call({ mode: 'ap', limits });
};

const changesOf = (execution: Awaited<ReturnType<typeof call>>): CellChange[] => {
  const { cells } = effectsOf(execution) as { cells: { change: CellChange }[] };
  return cells.map(({ change }) => change);
};

test('they are made in their order, and a question sees those before it', async () => {
  const property = fc.asyncProperty(steps, fc.boolean(), async (taken, isAsync) => {
    const own = isAsync ? taken : taken.filter((step) => step !== 'await');
    const body = `const log = ctx.cell(appendLog('l')); const seen = []; let n = 0;
      ${own.map((step) => CODE[step]).join('\n')}
      return [seen, log.entries().map((text) => parseInt(text))];`;

    const [seen, entries] = parsed(await call(body, isAsync)) as [number[], number[]];

    const isAppend = (step: Step): boolean => step === 'short' || step === 'long';
    const before = own.map((_, i) => own.slice(0, i).filter(isAppend).length);
    expect(seen).toEqual(before.filter((_, i) => own[i] === 'read'));
    expect(entries).toEqual(own.filter(isAppend).map((_, i) => i));
  });
  await fc.assert(property, { numRuns: 25 });
}, 120_000);

describe('those that nothing is asked behind', () => {
  test.each([
    ['a few', 3],
    ['more than wait', 200],
  ])('are made all the same: %s', async (_what, count) => {
    const body = `for (let i = 1; i <= ${count}; i += 1) ctx.cell(counter('n')).add(i);`;

    expect(changesOf(await call(body))).toEqual(
      Array.from({ length: count }, (_, i) => ({ cell: 'counter', type: 'add', by: i + 1 })),
    );
  });

  test('are made before what a continuation does', async () => {
    const body = `ctx.cell(appendLog('l')).append(1);
      Promise.resolve().then(() => ctx.cell(appendLog('l')).append(2)); return 1;`;

    const values = changesOf(await call(body)).map((change) => 'value' in change && change.value);
    expect(values).toEqual(['1', '2']);
  });
});

describe('one that is refused', () => {
  test.each([
    ['and nothing behind it', ''],
    ['and caught', '} catch {} try {'],
    ['and a question', "ctx.cell(set('s')).values();"],
    ['and the end by the procedure itself', "ctx.abort('never mind');"],
    ['and something thrown', "throw new Error('never mind');"],
    ['and one that is not', "ctx.cell(counter('n')).add(1);"],
  ])('is what the call fails of: %s', async (_what, behind) => {
    const body = `try { ctx.cell(counter('n')).add(0.5); ${behind} } finally {}`;

    expect(failureOf(await call(body))).toMatch(/^INVALID_ARGUMENT .*whole number/);
  });

  test('leaves the interpreter whole, also when something is thrown behind it', async () => {
    const body = `ctx.cell(counter('n')).add(0.5); throw new Error('never mind');`;
    const sandbox = await Sandbox.with(oneProcedure(body, 'ap', NAMES));

    expect(failureOf(sandbox.call({ mode: 'ap' }))).toMatch(/^INVALID_ARGUMENT/);

    expect(sandbox.vm.isSpent).toBe(false);
  });

  test('ends a call of another mode where it stands', async () => {
    const body = `ctx.cell(counter('n')).add(1); for (;;) {}`;
    const sandbox = await Sandbox.with(oneProcedure(body, 'read', NAMES));

    expect(failureOf(sandbox.call({ mode: 'read' }))).toMatch(/^PROCEDURE_READ_ONLY/);
  });
});
