import { expect, test } from 'vitest';
import { oneProcedure, Sandbox } from './calls.js';

/** What is told of the stack of an error. */
async function stackOf(body: string): Promise<string[]> {
  const execution = (await Sandbox.with(oneProcedure(body))).call();
  if (execution.ok) throw new Error('it did not fail');
  return String(execution.error.details.stack).split('\n');
}

test('a stack has ten lines, those where it threw, and says how many there are', async () => {
  const lines = await stackOf(
    `const down = (n) => { if (n === 0) throw new Error('deep'); down(n - 1); }; down(19);`,
  );

  expect(lines.slice(0, 10)).toEqual(
    Array(10).fill(expect.stringMatching(/at down \(procedures.js/)),
  );
  expect(lines.slice(10)).toEqual(['    … (11 more)']);
});

test('a stack has none of what is around the code', async () => {
  expect(await stackOf(`throw new Error('x');`)).toEqual([
    expect.stringMatching(/at handler \(procedures.js:\d+:\d+\)$/),
  ]);
});
